//! What well-known providers publish about their mail servers, so that a file need not repeat it. A figure
//! that no provider's document states is not here. **None of these was tried against the real provider.**
//!
//! Hosts and ports were held against Thunderbird's list of providers too,
//! <https://github.com/thunderbird/autoconfig>.
//!
//! What the file says itself wins over all of this.

use maildreieck_api_spec::vocabulary::Tls;

/// A provider's servers and limits.
#[derive(Debug, PartialEq, Eq)]
pub struct Preset {
    /// As the file names it.
    pub name: &'static str,
    /// IMAP host.
    pub host: &'static str,
    /// IMAP port.
    pub port: u16,
    /// Protection of the connection.
    pub tls: Tls,
    /// How many IMAP connections an account may have, all its programs together.
    pub connections: Option<u8>,
    /// Octets a day that may be fetched from an account.
    pub bytes_per_day_down: Option<u64>,
    /// Octets a day that may be sent to an account.
    pub bytes_per_day_up: Option<u64>,
    /// Token endpoint and scope, for providers that take no passwords.
    pub oauth: Option<(&'static str, &'static str)>,
}

/// Gmail and Google Workspace. A megabyte is taken for 1,000,000 octets.
///
/// - Host, port, at most 15 connections an account: Google, 'Read Gmail messages on other email clients using
///   IMAP', <https://support.google.com/mail/answer/7126229>.
/// - 2,500 MB a day down, 500 MB up by IMAP: Google, 'Gmail bandwidth limits',
///   <https://support.google.com/a/answer/1071518> (for Workspace; nothing is published for free accounts).
/// - Scope: Google, 'IMAP, POP, and SMTP', <https://developers.google.com/workspace/gmail/imap/xoauth2-protocol>.
/// - Token endpoint: Google, 'Using OAuth 2.0 to Access Google APIs',
///   <https://developers.google.com/identity/protocols/oauth2/native-app>.
const GMAIL: Preset = Preset {
    name: "gmail",
    host: "imap.gmail.com",
    connections: Some(15),
    bytes_per_day_down: Some(2_500_000_000),
    bytes_per_day_up: Some(500_000_000),
    oauth: Some((
        "https://oauth2.googleapis.com/token",
        "https://mail.google.com/",
    )),
    ..PLAIN
};

/// Exchange Online. The token endpoint is that of any organisation; one that forbids it names its own.
///
/// - Host and port: Microsoft, 'POP3 and IMAP4 in Exchange Online',
///   <https://learn.microsoft.com/en-us/exchange/clients-and-mobile-in-exchange-online/pop3-and-imap4/pop3-and-imap4>.
/// - Scope: Microsoft, 'Authenticate an IMAP, POP or SMTP connection using OAuth',
///   <https://learn.microsoft.com/en-us/exchange/client-developer/legacy-protocols/how-to-authenticate-an-imap-pop-smtp-application-by-using-oauth>.
/// - Token endpoint: Microsoft, 'Microsoft identity platform and OAuth 2.0 authorization code flow',
///   <https://learn.microsoft.com/en-us/entra/identity-platform/v2-oauth2-auth-code-flow>.
/// - At most 20 connections: Microsoft, 'Exchange Online Throttling and Limits FAQ' of 2011,
///   <https://learn.microsoft.com/en-us/archive/blogs/exchangedev/exchange-online-throttling-and-limits-faq>. No
///   newer figure, and none for octets, is published.
const MICROSOFT365: Preset = Preset {
    name: "microsoft365",
    host: "outlook.office365.com",
    connections: Some(20),
    oauth: Some((
        "https://login.microsoftonline.com/organizations/oauth2/v2.0/token",
        "https://outlook.office.com/IMAP.AccessAsUser.All offline_access",
    )),
    ..PLAIN
};

/// GMX. IMAP has to be switched on in the account's settings.
///
/// - Host and port: GMX, 'IMAP-Serverdaten', <https://hilfe.gmx.net/pop-imap/imap/imap-serverdaten.html>.
const GMX: Preset = Preset {
    name: "gmx",
    host: "imap.gmx.net",
    ..PLAIN
};

/// WEB.DE. IMAP has to be switched on in the account's settings.
///
/// - Host and port: WEB.DE, 'IMAP-Serverdaten', <https://hilfe.web.de/pop-imap/imap/imap-serverdaten.html>.
const WEBDE: Preset = Preset {
    name: "webde",
    host: "imap.web.de",
    ..PLAIN
};

/// IONOS (formerly 1&1), Germany.
///
/// - Host and port: IONOS, 'Serverinformationen für IMAP, POP3 und SMTP',
///   <https://www.ionos.de/hilfe/index.php?id=2490>.
const IONOS: Preset = Preset {
    name: "ionos",
    host: "imap.ionos.de",
    ..PLAIN
};

/// STRATO.
///
/// - Host and port: STRATO, 'Externes E-Mail-Programm mit STRATO E-Mail-Adresse nutzen',
///   <https://www.strato.de/faq/mail/externes-e-mail-programm-mit-strato-e-mail-adresse-nutzen/>.
const STRATO: Preset = Preset {
    name: "strato",
    host: "imap.strato.de",
    ..PLAIN
};

/// Telekom Mail (@t-online.de, @magenta.de). It wants its own e-mail password, not that of the website.
///
/// - Host and port: Telekom, 'Posteingang- und Postausgang-Server',
///   <https://www.telekom.de/hilfe/apps-dienste/e-mail/einstellungen/posteingang-postausgang-server>.
const T_ONLINE: Preset = Preset {
    name: "t-online",
    host: "secureimap.t-online.de",
    ..PLAIN
};

/// What all have in common.
const PLAIN: Preset = Preset {
    name: "",
    host: "",
    port: 993,
    tls: Tls::Implicit,
    connections: None,
    bytes_per_day_down: None,
    bytes_per_day_up: None,
    oauth: None,
};

/// All of them, by the names that the file uses.
pub const PRESETS: [(&str, &Preset); 7] = [
    (GMAIL.name, &GMAIL),
    (MICROSOFT365.name, &MICROSOFT365),
    (GMX.name, &GMX),
    (WEBDE.name, &WEBDE),
    (IONOS.name, &IONOS),
    (STRATO.name, &STRATO),
    (T_ONLINE.name, &T_ONLINE),
];
