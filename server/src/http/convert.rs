//! From what services return to what the API says, and back. Nothing is decided here.

use chrono::{DateTime, Utc};
use maildreieck_api_spec::accounts::{Account, AccountConfig};
use maildreieck_api_spec::agents::{
    AssignedAccount, AssignedSchedule, AssignedTriangle, Assignment, CronSchedule,
};
use maildreieck_api_spec::audit::AuditRecord;
use maildreieck_api_spec::daily_reports::{DailyReport, DailyReportSummary, Delivery};
use maildreieck_api_spec::enrolment_codes::{EnrolmentCode, IssuedEnrolmentCode};
use maildreieck_api_spec::fleet::Agent;
use maildreieck_api_spec::page::Page;
use maildreieck_api_spec::runs::Run;
use maildreieck_api_spec::sites::{Site, SiteConfig};
use maildreieck_api_spec::tenants::{Tenant, TenantConfig};
use maildreieck_api_spec::triangles::{Triangle, TriangleConfig};
use maildreieck_api_spec::users::{Member, Membership, User};
use serde::Serialize;

use super::extract::etag;
use crate::domain::agent_state::{self, Signs};
use crate::service;
use crate::service::page::Paged;
use crate::service::transact::Answer;
use crate::service::triangles::Cron;

pub(super) fn page<T, U>(page: Paged<T>, each: impl FnMut(T) -> U) -> Page<U> {
    Page {
        items: page.items.into_iter().map(each).collect(),
        next_cursor: page.next,
    }
}

/// 201 with the body, where it is and its version.
pub(super) fn made<T: Serialize>(body: &T, location: String, version: Option<u64>) -> Answer {
    Answer {
        status: 201,
        body: serde_json::to_value(body).unwrap_or_default(),
        location: Some(location),
        etag: version.map(etag),
    }
}

pub(super) fn user(person: service::users::Person) -> User {
    User {
        id: person.user.id,
        email: person.user.email,
        name: person.user.name,
        provider_admin: person.user.provider_admin,
        memberships: person
            .memberships
            .into_iter()
            .map(|(tenant_id, role)| Membership { tenant_id, role })
            .collect(),
        created_at: person.user.created_at,
    }
}

pub(super) fn member(member: service::members::Member) -> Member {
    Member {
        user_id: member.user_id,
        email: member.email,
        name: member.name,
        role: member.role,
    }
}

pub(super) fn tenant(tenant: service::tenants::Tenant) -> Tenant {
    Tenant {
        id: tenant.id,
        config: TenantConfig {
            name: tenant.name,
            timezone: tenant.timezone,
            language: tenant.language,
            report_to: tenant.report_to,
            grace_min: tenant.grace_min,
        },
        created_at: tenant.created_at,
    }
}

pub(super) fn tenant_setting(config: TenantConfig) -> service::tenants::Setting {
    service::tenants::Setting {
        name: config.name,
        timezone: config.timezone,
        language: config.language,
        report_to: config.report_to,
        grace_min: config.grace_min,
    }
}

pub(super) fn site(site: service::sites::Site) -> Site {
    Site {
        id: site.id,
        config: SiteConfig { name: site.name },
        agent_id: site.agent_id,
        assignment_version: site.assignment_version,
        created_at: site.created_at,
    }
}

pub(super) fn account(account: service::accounts::Account) -> Account {
    Account {
        id: account.id,
        config: AccountConfig {
            name: account.name,
            host: account.host,
            port: account.port,
            tls: account.tls,
            username: account.username,
        },
        created_at: account.created_at,
    }
}

pub(super) fn account_setting(config: AccountConfig) -> service::accounts::Setting {
    service::accounts::Setting {
        name: config.name,
        host: config.host,
        port: config.port,
        tls: config.tls,
        username: config.username,
    }
}

pub(super) fn triangle(made: service::triangles::Scheduled) -> Triangle {
    let when = |cron: &str, timezone: &str| CronSchedule {
        cron: cron.to_owned(),
        timezone: timezone.to_owned(),
    };
    Triangle {
        id: made.triangle.id,
        config: TriangleConfig {
            name: made.triangle.name,
            site_id: made.triangle.site_id,
            primary_account_id: made.triangle.primary_account_id,
            standby_account_id: made.triangle.standby_account_id,
            standby_prefix: made.triangle.standby_prefix,
            exclude_folders: made.triangle.exclude_folders,
            tx: when(&made.tx.cron, &made.tx.timezone),
            mirror: made
                .mirror
                .as_ref()
                .map(|mirror| when(&mirror.cron, &mirror.timezone)),
            grace_min: made.triangle.grace_min,
        },
        tx_schedule_id: made.tx.id,
        mirror_schedule_id: made.mirror.map(|mirror| mirror.id),
        created_at: made.triangle.created_at,
    }
}

pub(super) fn triangle_setting(config: TriangleConfig) -> service::triangles::Setting {
    let cron = |schedule: CronSchedule| Cron {
        line: schedule.cron,
        zone: schedule.timezone,
    };
    service::triangles::Setting {
        name: config.name,
        site_id: config.site_id,
        primary_account_id: config.primary_account_id,
        standby_account_id: config.standby_account_id,
        standby_prefix: config.standby_prefix,
        exclude_folders: config.exclude_folders,
        tx: cron(config.tx),
        mirror: config.mirror.map(cron),
        grace_min: config.grace_min,
    }
}

pub(super) fn enrolment_code(code: service::enrolment_codes::EnrolmentCode) -> EnrolmentCode {
    EnrolmentCode {
        id: code.id,
        site_id: code.site_id,
        created_at: code.created_at,
        expires_at: code.expires_at,
        agent_id: code.agent_id,
    }
}

pub(super) fn issued_code(
    issued: &service::enrolment_codes::Issued,
    code: Option<String>,
) -> IssuedEnrolmentCode {
    IssuedEnrolmentCode {
        id: issued.kept.id,
        site_id: issued.kept.site_id,
        code,
        created_at: issued.kept.created_at,
        expires_at: issued.kept.expires_at,
        certificate_sha256: issued.certificate_sha256.clone(),
    }
}

pub(super) fn agent(agent: service::agents::Agent, now: DateTime<Utc>) -> Agent {
    let state = agent_state::of(
        Signs {
            replaced: agent.replaced_at.is_some(),
            clone_seen: agent.clone_seen_at.is_some(),
            last_heartbeat_at: agent.last_heartbeat_at,
            last_cycle_at: agent.last_cycle_at.or(Some(agent.enrolled_at)),
            skew_ms: agent.skew_ms,
        },
        now,
    );
    Agent {
        id: agent.id,
        site_id: agent.site_id,
        state,
        signing_key_sha256: service::agents::fingerprint(&agent.signing_key),
        sealing_key_sha256: service::agents::fingerprint(&agent.sealing_key),
        version: agent.version,
        platform: agent.platform,
        enrolled_at: agent.enrolled_at,
        last_heartbeat_at: agent.last_heartbeat_at,
        last_cycle_at: agent.last_cycle_at,
        skew_ms: agent.skew_ms,
        spooled_runs: agent.spooled_runs,
        store_bytes: agent.store_bytes,
        free_disk_bytes: agent.free_disk_bytes,
    }
}

pub(super) fn assignment(assignment: service::assignment::Assignment) -> Assignment {
    let account = |account: service::accounts::Account| AssignedAccount {
        account_id: account.id,
        host: account.host.into(),
        port: account.port.get(),
        tls: account.tls,
        username: account.username.into(),
    };
    let triangles = assignment.tasks.into_iter().map(|task| {
        let schedule = |id, cron: String, timezone: String| AssignedSchedule {
            schedule_id: id,
            when: CronSchedule { cron, timezone },
        };
        let made = task.scheduled;
        AssignedTriangle {
            triangle_id: made.triangle.id,
            name: made.triangle.name.into(),
            primary: account(task.primary),
            standby: account(task.standby),
            standby_prefix: made.triangle.standby_prefix.into(),
            exclude_folders: made
                .triangle
                .exclude_folders
                .into_iter()
                .map(Into::into)
                .collect(),
            tx: schedule(made.tx.id, made.tx.cron, made.tx.timezone),
            mirror: made
                .mirror
                .map(|mirror| schedule(mirror.id, mirror.cron, mirror.timezone)),
        }
    });
    Assignment {
        version: assignment.version,
        triangles: triangles.collect(),
    }
}

pub(super) fn audit_record(told: service::audit::Told) -> AuditRecord {
    AuditRecord {
        hash: told.hash,
        record: told.record,
    }
}

pub(super) fn run(told: service::runs::Told) -> Run {
    Run {
        id: told.run.id,
        site_id: told.run.site_id,
        agent_id: told.run.agent_id,
        received_at: told.run.received_at,
        verdict: told.run.verdict,
        countersignature: told.countersignature,
        report: told.report,
    }
}

pub(super) fn daily_report_summary(
    report: &service::daily_reports::DailyReport,
) -> DailyReportSummary {
    DailyReportSummary {
        id: report.id,
        local_day: report.local_day,
        verdict: report.verdict,
        subject: report.subject.clone(),
        created_at: report.created_at,
    }
}

pub(super) fn daily_report(
    report: service::daily_reports::DailyReport,
    deliveries: Vec<service::daily_reports::Delivery>,
) -> DailyReport {
    DailyReport {
        summary: daily_report_summary(&report),
        language: report.language,
        text: report.text,
        html: report.html,
        deliveries: deliveries
            .into_iter()
            .map(|delivery| Delivery {
                recipient: delivery.recipient,
                message_id: delivery.message_id,
                state: delivery.state,
                attempts: delivery.attempts,
            })
            .collect(),
    }
}
