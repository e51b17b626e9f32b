//! Sends what waits in the outbox.

use crate::app::App;
use crate::context::Ctx;
use crate::domain::letter::Outcome;
use crate::error::Result;
use crate::mail::smtp::Sender;
use crate::service::outbox;

pub(super) async fn send(app: &App, ctx: &Ctx, sender: &Sender) -> Result<()> {
    for claimed in outbox::claim(app, ctx).await? {
        let outcome = sender.send(&claimed.letter).await;
        let (tenant, mail) = (claimed.tenant, claimed.mail.clone());
        match outcome {
            Outcome::Sent => tracing::info!(%tenant, mail, "a mail was sent"),
            Outcome::Later(code) => tracing::warn!(%tenant, mail, code, "a mail waits"),
            Outcome::Never(code) => tracing::error!(%tenant, mail, code, "a mail is given up"),
        }
        outbox::note(app, ctx, claimed, outcome).await?;
    }
    Ok(())
}
