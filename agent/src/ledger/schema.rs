//! The tables of migrations/agent/ledger, as diesel sees them.
#![expect(missing_docs, reason = "the migration documents tables and columns")]

diesel::table! {
    triangle (name) {
        name -> Text,
        first_mirror_at -> Nullable<BigInt>,
        epoch -> Integer,
        store_mark -> Nullable<Binary>,
        standby_place -> Nullable<Text>,
    }
}

diesel::table! {
    equivalent (original, rewritten) {
        original -> Binary,
        rewritten -> Binary,
    }
}

diesel::table! {
    folder (id) {
        id -> BigInt,
        triangle -> Text,
        corner -> Text,
        mailbox -> Text,
        logical -> Text,
        uidvalidity -> BigInt,
        generation -> Integer,
        uidnext -> BigInt,
        highestmodseq -> Nullable<BigInt>,
        messages -> BigInt,
        found_uidnext -> BigInt,
    }
}

diesel::table! {
    message (folder_id, generation, uid) {
        folder_id -> BigInt,
        generation -> Integer,
        uid -> BigInt,
        content -> Binary,
        size -> BigInt,
        date -> BigInt,
        flags -> Text,
        verified_at -> Nullable<BigInt>,
        origin -> Integer,
        member -> Nullable<Binary>,
        copy_folder -> Nullable<BigInt>,
        copy_generation -> Nullable<Integer>,
        copy_uid -> Nullable<BigInt>,
        put_backs -> Integer,
    }
}

diesel::table! {
    tombstone (id) {
        id -> BigInt,
        triangle -> Text,
        logical -> Text,
        content -> Binary,
        size -> BigInt,
        date -> BigInt,
        flags -> Text,
        member -> Binary,
        copy_folder -> Nullable<BigInt>,
        copy_generation -> Nullable<Integer>,
        copy_uid -> Nullable<BigInt>,
        moved -> Bool,
        vanished_at -> BigInt,
        epoch -> Integer,
        reported -> Bool,
    }
}

diesel::table! {
    quarantine (folder_id, generation, uid) {
        folder_id -> BigInt,
        generation -> Integer,
        uid -> BigInt,
        class -> Text,
        reason -> Text,
        since -> BigInt,
        tried_at -> BigInt,
    }
}

diesel::table! {
    repair (id) {
        id -> BigInt,
        triangle -> Text,
        class -> Text,
        corner -> Text,
        logical -> Text,
        content -> Binary,
        at -> BigInt,
        reported -> Bool,
    }
}

diesel::table! {
    batch (id) {
        id -> BigInt,
        triangle -> Text,
        folder_id -> BigInt,
        uidnext -> BigInt,
        contents -> Binary,
        opened_at -> BigInt,
    }
}

diesel::table! {
    halt (triangle, id) {
        triangle -> Text,
        id -> Text,
        messages -> BigInt,
        known -> BigInt,
        held_at -> BigInt,
        confirmed_at -> Nullable<BigInt>,
    }
}

diesel::table! {
    activity (id) {
        id -> BigInt,
        triangle -> Text,
        at -> BigInt,
        vanished -> BigInt,
        put_back -> BigInt,
    }
}

diesel::table! {
    refused_keyword (triangle, corner, keyword) {
        triangle -> Text,
        corner -> Text,
        keyword -> Text,
    }
}

diesel::table! {
    spent (account, hour) {
        account -> Text,
        hour -> BigInt,
        octets -> BigInt,
    }
}

diesel::table! {
    renaming (folder_id) {
        folder_id -> BigInt,
        mailbox -> Text,
        logical -> Text,
    }
}

diesel::table! {
    backoff (account) {
        account -> Text,
        until -> BigInt,
    }
}

diesel::table! {
    maildrop (triangle) {
        triangle -> Text,
        place -> Text,
        uidvalidity -> BigInt,
        uidnext -> BigInt,
    }
}

diesel::table! {
    maildrop_message (triangle, uid) {
        triangle -> Text,
        uidl -> Binary,
        uid -> BigInt,
    }
}

diesel::table! {
    altered (folder_id, generation, uid) {
        folder_id -> BigInt,
        generation -> Integer,
        uid -> BigInt,
        content -> Binary,
    }
}

diesel::table! {
    last_certificate (triangle) {
        triangle -> Text,
        sequence -> BigInt,
        sha256 -> Text,
    }
}

diesel::allow_tables_to_appear_in_same_query!(message, folder, quarantine, renaming, altered);
