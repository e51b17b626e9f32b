//! Who may do what: one table of operations and roles. Each service call names its operation, a test
//! joins the table with `openapi.json` in both directions. What is not in a row is forbidden.

use maildreieck_api_spec::vocabulary::MemberRole;

/// Who may call an operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum May {
    /// Anybody who can reach the server: it is how one becomes known, or tells nothing.
    Anybody,
    /// Any person who is logged in, about himself.
    AnyUser,
    /// The provider's administrators.
    Admin,
    /// The provider's administrators, and members of the tenant in these roles.
    Members(&'static [MemberRole]),
    /// The agent, about its own site.
    Agent,
}

macro_rules! operations {
    ($($variant:ident $id:literal $may:expr),+ $(,)?) => {
        /// An operation of the API.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Operation {
            $(#[doc = concat!("`", $id, "`")] $variant),+
        }

        impl Operation {
            /// Its `operationId` in `openapi.json`.
            #[must_use]
            pub fn id(self) -> &'static str {
                match self {
                    $(Self::$variant => $id),+
                }
            }

            /// Who may call it.
            #[must_use]
            pub fn may(self) -> May {
                match self {
                    $(Self::$variant => $may),+
                }
            }
        }

        /// The table.
        pub const OPERATIONS: &[Operation] = &[$(Operation::$variant),+];
    };
}

use May::{Admin, Agent, AnyUser, Anybody, Members};
use MemberRole::{Auditor, Owner, Technician};

/// All who work in a tenant.
const READERS: &[MemberRole] = &[Technician, Auditor, Owner];
/// Those who look at what others did.
const WITNESSES: &[MemberRole] = &[Auditor, Owner];
/// Those who set up the tenant's triangles.
const BUILDERS: &[MemberRole] = &[Technician];

operations! {
    Health              "health"                Anybody,
    Login               "login"                 Anybody,
    Me                  "me"                    AnyUser,
    ListUsers           "list_users"            Admin,
    CreateUser          "create_user"           Admin,
    ReadUser            "read_user"             Admin,
    ListTenants         "list_tenants"          AnyUser,
    CreateTenant        "create_tenant"         Admin,
    ReadTenant          "read_tenant"           Members(READERS),
    UpdateTenant        "update_tenant"         Members(BUILDERS),
    ListMembers         "list_members"          Members(READERS),
    PutMember           "put_member"            Admin,
    RemoveMember        "remove_member"         Admin,
    ListSites           "list_sites"            Members(READERS),
    CreateSite          "create_site"           Members(BUILDERS),
    ReadSite            "read_site"             Members(READERS),
    UpdateSite          "update_site"           Members(BUILDERS),
    ListAccounts        "list_accounts"         Members(READERS),
    CreateAccount       "create_account"        Members(BUILDERS),
    ReadAccount         "read_account"          Members(READERS),
    UpdateAccount       "update_account"        Members(BUILDERS),
    ListTriangles       "list_triangles"        Members(READERS),
    CreateTriangle      "create_triangle"       Members(BUILDERS),
    ReadTriangle        "read_triangle"         Members(READERS),
    UpdateTriangle      "update_triangle"       Members(BUILDERS),
    ListEnrolmentCodes  "list_enrolment_codes"  Members(READERS),
    CreateEnrolmentCode "create_enrolment_code" Members(BUILDERS),
    ListAgents          "list_agents"           Members(READERS),
    ReadAgent           "read_agent"            Members(READERS),
    ListRuns            "list_runs"             Members(READERS),
    ReadRun             "read_run"              Members(READERS),
    ListDailyReports    "list_daily_reports"    Members(READERS),
    ReadDailyReport     "read_daily_report"     Members(READERS),
    ListAuditRecords    "list_audit_records"    Members(WITNESSES),
    ExportAudit         "export_audit"          Members(WITNESSES),
    ListProviderAudit   "list_provider_audit_records" Admin,
    ExportProviderAudit "export_provider_audit" Admin,
    Enrol               "enrol"                 Anybody,
    Nonce               "nonce"                 Anybody,
    Token               "token"                 Anybody,
    Assignment          "assignment"            Agent,
    Heartbeat           "heartbeat"             Agent,
    RunNonce            "run_nonce"             Agent,
    PutRun              "put_run"               Agent,
}
