//! Holds a call against the table of operations and roles. Closed by default: who has no role has nothing.

use crate::context::{Ctx, Principal, Scope};
use crate::domain::operations::{May, Operation};
use crate::error::{Error, Kind, Result};

/// Lets the call pass, or not.
///
/// # Errors
/// `Unauthenticated` for one who is not known, `Forbidden` for one who may not.
pub fn authorise(ctx: &Ctx, operation: Operation) -> Result<()> {
    let allowed = match (operation.may(), &ctx.principal) {
        (May::Anybody, _) => true,
        (_, Principal::Anonymous) => {
            return Err(Error::new(
                Kind::Unauthenticated,
                "Log in first: this needs an access token.",
            ));
        }
        // The server's own jobs and its command line act on the machine's authority.
        (_, Principal::System(_)) => true,
        (May::AnyUser, Principal::User { .. }) => true,
        (May::Admin, Principal::User { provider_admin, .. }) => *provider_admin,
        (
            May::Members(roles),
            Principal::User {
                provider_admin,
                role,
                ..
            },
        ) => {
            matches!(ctx.scope, Scope::Tenant(_))
                && (*provider_admin || role.is_some_and(|role| roles.contains(&role)))
        }
        (May::Agent, Principal::Agent { .. }) => matches!(ctx.scope, Scope::Tenant(_)),
        (May::Agent, Principal::User { .. })
        | (May::AnyUser | May::Admin | May::Members(_), Principal::Agent { .. }) => false,
    };
    if allowed {
        Ok(())
    } else {
        Err(Error::new(
            Kind::Forbidden,
            "Your role does not allow this; ask an administrator of the provider.",
        ))
    }
}
