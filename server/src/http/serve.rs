//! The listener: one address, plain on loopback or behind a proxy, or with TLS of its own.

use std::net::SocketAddr;
use std::time::Duration;

use actix_web::dev::Server;
use actix_web::middleware::{DefaultHeaders, from_fn};
use actix_web::web::{self, Data};
use actix_web::{App as Actix, HttpResponse, HttpServer};
use tracing_actix_web::TracingLogger;
use utoipa_actix_web::AppExt;
use utoipa_swagger_ui::{Config, SwaggerUi};

use super::answer::complete;
use super::log::Spans;
use super::methods::{Methods, nothing};
use super::{openapi, routes};
use crate::app::App;

/// Binds the address and gives the server, which does nothing until it is awaited, and the addresses that
/// it really listens on.
///
/// # Errors
/// The address cannot be bound.
pub fn bind(
    app: App,
    listen: SocketAddr,
    tls: Option<rustls::ServerConfig>,
) -> std::io::Result<(Server, Vec<SocketAddr>)> {
    let document = openapi::document();
    let text = openapi::text()?;
    let methods = Data::new(Methods::of(&document));
    let app = Data::new(app);
    let factory = move || {
        let text = text.clone();
        Actix::new()
            .wrap(from_fn(complete))
            .wrap(
                DefaultHeaders::new()
                    .add(("X-Content-Type-Options", "nosniff"))
                    .add(("Cache-Control", "no-store")),
            )
            .wrap(TracingLogger::<Spans>::new())
            .app_data(app.clone())
            .app_data(methods.clone())
            .into_utoipa_app()
            .configure(routes::all)
            .into_app()
            .route(
                "/openapi.json",
                web::get().to(move || {
                    let text = text.clone();
                    async move {
                        HttpResponse::Ok()
                            .content_type("application/json")
                            .body(text)
                    }
                }),
            )
            .route(
                "/docs",
                web::get().to(|| async {
                    HttpResponse::Found()
                        .insert_header(("Location", "/docs/"))
                        .finish()
                }),
            )
            .service(SwaggerUi::new("/docs/{_:.*}").config(Config::from("/openapi.json")))
            .default_service(web::to(nothing))
    };
    let server = HttpServer::new(factory)
        .client_request_timeout(Duration::from_secs(20))
        .shutdown_timeout(10);
    let server = match tls {
        Some(tls) => server.bind_rustls_0_23(listen, tls)?,
        None => server.bind(listen)?,
    };
    let addresses = server.addrs();
    Ok((server.run(), addresses))
}
