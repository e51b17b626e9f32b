//! The tables, as both databases have them. Only `store` names this module.

#![expect(
    missing_docs,
    reason = "the macro writes items that cannot be documented"
)]

diesel::table! {
    users (user_id) {
        user_id -> Text,
        email -> Text,
        name -> Text,
        password_hash -> Text,
        provider_admin -> Bool,
        created_at -> Timestamp,
    }
}

diesel::table! {
    tenants (tenant_id) {
        tenant_id -> Text,
        name -> Text,
        timezone -> Text,
        language -> Text,
        report_to -> Text,
        grace_min -> Integer,
        version -> BigInt,
        created_at -> Timestamp,
    }
}

diesel::table! {
    memberships (tenant_id, user_id) {
        tenant_id -> Text,
        user_id -> Text,
        role -> Text,
        created_at -> Timestamp,
    }
}

diesel::table! {
    audit_heads (tenant_id) {
        tenant_id -> Text,
        seq -> BigInt,
        hash -> Text,
    }
}

diesel::table! {
    audit_records (tenant_id, seq) {
        tenant_id -> Text,
        seq -> BigInt,
        audit_id -> Text,
        at -> Timestamp,
        action -> Text,
        actor_id -> Text,
        object_id -> Text,
        record -> Text,
        hash -> Text,
    }
}

diesel::table! {
    person_keys (tenant_id, person_id) {
        tenant_id -> Text,
        person_id -> Text,
        wrapped_key -> Binary,
    }
}

diesel::table! {
    idempotency_keys (tenant_id, principal, method, path, key) {
        tenant_id -> Text,
        principal -> Text,
        method -> Text,
        path -> Text,
        key -> Text,
        fingerprint -> Text,
        status -> Integer,
        answer -> Text,
        expires_at -> Timestamp,
    }
}

diesel::table! {
    sites (tenant_id, site_id) {
        tenant_id -> Text,
        site_id -> Text,
        name -> Text,
        agent_id -> Nullable<Text>,
        assignment_version -> BigInt,
        version -> BigInt,
        created_at -> Timestamp,
    }
}

diesel::table! {
    accounts (tenant_id, account_id) {
        tenant_id -> Text,
        account_id -> Text,
        name -> Text,
        host -> Text,
        port -> Integer,
        tls -> Text,
        username -> Text,
        version -> BigInt,
        created_at -> Timestamp,
    }
}

diesel::table! {
    triangles (tenant_id, triangle_id) {
        tenant_id -> Text,
        triangle_id -> Text,
        site_id -> Text,
        name -> Text,
        primary_account_id -> Text,
        standby_account_id -> Text,
        standby_prefix -> Text,
        exclude_folders -> Text,
        grace_min -> Nullable<Integer>,
        version -> BigInt,
        created_at -> Timestamp,
    }
}

diesel::table! {
    schedules (tenant_id, schedule_id) {
        tenant_id -> Text,
        schedule_id -> Text,
        triangle_id -> Text,
        kind -> Text,
        cron -> Text,
        timezone -> Text,
        grace_min -> Integer,
        next_due_at -> Nullable<Timestamp>,
    }
}

diesel::table! {
    schedule_lines (tenant_id, schedule_id, cron, timezone) {
        tenant_id -> Text,
        schedule_id -> Text,
        cron -> Text,
        timezone -> Text,
        triangle_id -> Text,
        kind -> Text,
        set_at -> Timestamp,
    }
}

diesel::table! {
    enrolment_codes (tenant_id, code_id) {
        tenant_id -> Text,
        code_id -> Text,
        site_id -> Text,
        code_hash -> Text,
        created_at -> Timestamp,
        expires_at -> Timestamp,
        agent_id -> Nullable<Text>,
    }
}

diesel::table! {
    agents (tenant_id, agent_id) {
        tenant_id -> Text,
        agent_id -> Text,
        site_id -> Text,
        signing_key -> Text,
        sealing_key -> Text,
        counter -> BigInt,
        version -> Text,
        platform -> Text,
        enrolled_at -> Timestamp,
        replaced_at -> Nullable<Timestamp>,
        clone_seen_at -> Nullable<Timestamp>,
        last_heartbeat_at -> Nullable<Timestamp>,
        last_cycle_at -> Nullable<Timestamp>,
        skew_ms -> Nullable<BigInt>,
        spooled_runs -> BigInt,
        store_bytes -> BigInt,
        free_disk_bytes -> BigInt,
    }
}

diesel::table! {
    server_key (id) {
        id -> Integer,
        key_check -> Text,
    }
}

diesel::table! {
    used_nonces (nonce_hash) {
        nonce_hash -> Text,
        expires_at -> Timestamp,
    }
}

diesel::table! {
    certificates (tenant_id, run_id) {
        tenant_id -> Text,
        run_id -> Text,
        triangle_id -> Text,
        certificate_hash -> Text,
        previous_hash -> Nullable<Text>,
        chain -> Text,
        countersignature -> Text,
    }
}

diesel::table! {
    runs (tenant_id, run_id) {
        tenant_id -> Text,
        run_id -> Text,
        received_id -> Text,
        site_id -> Text,
        agent_id -> Text,
        triangle_id -> Text,
        kind -> Text,
        outcome -> Text,
        verdict -> Nullable<Text>,
        report -> Text,
        report_hash -> Text,
        received_at -> Timestamp,
    }
}

diesel::table! {
    due (tenant_id, schedule_id, due_at) {
        tenant_id -> Text,
        schedule_id -> Text,
        due_at -> Timestamp,
        triangle_id -> Text,
        grace_ends_at -> Timestamp,
        run_id -> Nullable<Text>,
        reported_as -> Nullable<Text>,
    }
}

diesel::table! {
    report_cursors (tenant_id) {
        tenant_id -> Text,
        local_day -> Date,
        check_at -> Timestamp,
    }
}

diesel::table! {
    daily_reports (tenant_id, report_id) {
        tenant_id -> Text,
        report_id -> Text,
        local_day -> Date,
        verdict -> Text,
        language -> Text,
        subject -> Text,
        body_text -> Text,
        body_html -> Text,
        created_at -> Timestamp,
    }
}

diesel::table! {
    outbox (tenant_id, mail_id) {
        tenant_id -> Text,
        mail_id -> Text,
        report_id -> Text,
        recipient -> Text,
        message_id -> Text,
        state -> Text,
        attempts -> BigInt,
        next_attempt_at -> Timestamp,
        last_error -> Nullable<Text>,
        created_at -> Timestamp,
    }
}

diesel::joinable!(memberships -> users (user_id));

diesel::allow_tables_to_appear_in_same_query!(
    users,
    tenants,
    memberships,
    sites,
    accounts,
    triangles,
    schedules,
    schedule_lines,
    agents,
    runs,
    certificates,
    due,
    daily_reports,
    outbox,
);
