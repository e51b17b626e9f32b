//! `Ctx`: who acts, for which tenant, in which request, and when. It comes first in every service and
//! store call; store functions take their tenant filter from it and from nowhere else.

use chrono::{DateTime, Utc};
use maildreieck_api_spec::ids::{AgentId, SiteId, TenantId, UserId};
use maildreieck_api_spec::vocabulary::MemberRole;
use uuid::Uuid;

/// Who acts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Principal {
    /// Nobody that is known yet: a login, an enrolment.
    Anonymous,
    /// A person, with what the database said a moment ago.
    User {
        /// Who.
        id: UserId,
        /// Whether the person administers the provider.
        provider_admin: bool,
        /// What the person is in the tenant of the request, if there is one.
        role: Option<MemberRole>,
    },
    /// An enrolled agent.
    Agent {
        /// Which.
        id: AgentId,
        /// At which site.
        site: SiteId,
    },
    /// The server itself: a job, or the command line on the server's own machine.
    System(&'static str),
}

impl Principal {
    /// The kind of principal, as the audit record names it.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Anonymous => "anonymous",
            Self::User { .. } => "user",
            Self::Agent { .. } => "agent",
            Self::System(_) => "system",
        }
    }

    /// The principal's id within its kind.
    #[must_use]
    pub fn id(&self) -> String {
        match self {
            Self::Anonymous => String::new(),
            Self::User { id, .. } => id.to_string(),
            Self::Agent { id, .. } => id.to_string(),
            Self::System(what) => (*what).to_owned(),
        }
    }

    /// Kind and id in one word, to key what belongs to a principal.
    #[must_use]
    pub fn key(&self) -> String {
        format!("{}:{}", self.kind(), self.id())
    }
}

/// For whom, which decides what the database shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// One tenant: nothing of another is seen or written.
    Tenant(TenantId),
    /// The provider, or no tenant yet: people, the list of tenants, what must be found before a tenant is
    /// known, and the provider's audit chain.
    Provider,
}

/// Who acts, for which tenant, in which request, and when.
#[derive(Debug, Clone)]
pub struct Ctx {
    /// Who.
    pub principal: Principal,
    /// For whom.
    pub scope: Scope,
    /// In which request, to name to an administrator.
    pub request_id: Uuid,
    /// When: one instant for the whole request.
    pub now: DateTime<Utc>,
}

impl Ctx {
    /// The server itself at work, for nobody in particular.
    #[must_use]
    pub fn system(what: &'static str, now: DateTime<Utc>) -> Self {
        Self {
            principal: Principal::System(what),
            scope: Scope::Provider,
            request_id: Uuid::now_v7(),
            now,
        }
    }

    /// The same for one tenant.
    #[must_use]
    pub fn for_tenant(&self, tenant: TenantId) -> Self {
        Self {
            scope: Scope::Tenant(tenant),
            ..self.clone()
        }
    }

    /// The tenant as rows carry it; the provider's own stand under the nil UUID.
    #[must_use]
    pub fn tenant_key(&self) -> String {
        match self.scope {
            Scope::Tenant(tenant) => tenant.to_string(),
            Scope::Provider => Uuid::nil().to_string(),
        }
    }

    /// The tenant, in a request that has one.
    #[must_use]
    pub fn tenant(&self) -> Option<TenantId> {
        match self.scope {
            Scope::Tenant(tenant) => Some(tenant),
            Scope::Provider => None,
        }
    }
}
