//! Authentication and authorisation: bearer tokens, the role that each route needs, and the sites
//! that exist for each caller.
//!
//! A token has one role. If no token is configured, every caller may do everything, and
//! [`super::guard`] ensures that only this machine can call.
//!
//! # Invariants
//! - A route cannot be served without a role and a scope: the table of routes has columns for them.
//! - A site that is not one of the caller's is answered like a site that does not exist.
//! - A given token is compared with every known token in constant time.
//! - Without a token, paths that do not exist are answered with 401 too: they reveal nothing.

use std::sync::Arc;

use axum::extract::{FromRequestParts, RawPathParams, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, header};
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::MethodRouter;
use axum::{RequestExt, Router};
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};
use subtle::{ConditionallySelectable, ConstantTimeEq};

use super::items::site_unknown;
use super::{Backends, ROUTE};
use crate::config::{ConsoleSettings, Role};
use crate::domain::{Identifier, Site};
use crate::http::log_refusal;
use crate::http::problem::{Problem, ProblemCode};

/// The challenge for a caller without a token.
const CHALLENGE: &str = "Bearer realm=\"storekeeper\"";
/// The challenge for a caller with an unknown token.
const CHALLENGE_INVALID: &str = "Bearer realm=\"storekeeper\", error=\"invalid_token\"";

/// What a route is about, which decides whether callers of some sites may use it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scope {
    /// The site in its path: callers of other sites are answered as if it did not exist.
    OfSite,
    /// All sites: callers of some sites are refused.
    AllSites,
    /// What the handler selects for its [`Caller`].
    OfCaller,
}

/// Restricts methods to callers whose token has at least this role and may see what they are about.
pub(super) fn needs(
    role: Role,
    scope: Scope,
    methods: MethodRouter<Backends>,
) -> MethodRouter<Backends> {
    methods.route_layer(from_fn(move |request, next| require(role, scope, request, next)))
}

/// Who makes a request.
#[derive(Debug, Clone)]
pub(super) struct Caller {
    /// Recorded with changes: the user's name, the role of a token without one, or the console if
    /// there are no tokens.
    pub(super) name: Identifier,
    pub(super) role: Role,
    /// The only sites that exist for the caller; `None` for all.
    sites: Option<Arc<[Site]>>,
}

impl Caller {
    /// Whether every site exists for the caller.
    pub(super) const fn sees_all(&self) -> bool {
        self.sites.is_none()
    }

    /// Whether the site exists for the caller, as far as the caller's sites decide that.
    pub(super) fn sees(&self, site: &Site) -> bool {
        self.sites.as_ref().is_none_or(|sites| sites.contains(site))
    }

    /// Refuses what concerns sites that do not exist for the caller; `site` is the only one that the
    /// request is about.
    pub(super) fn check(&self, site: Option<&Site>) -> Result<(), Problem> {
        match (site, &self.sites) {
            (_, None) => Ok(()),
            (Some(site), Some(_)) if self.sees(site) => Ok(()),
            (Some(site), Some(_)) => Err(site_unknown(site)),
            (None, Some(sites)) => {
                let own: Vec<&str> = sites.iter().map(Site::as_str).collect();
                let detail = format!("this concerns all sites; yours are {}", own.join(", "));
                Err(Problem::new(ProblemCode::AuthForbidden, detail))
            }
        }
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let caller = parts.extensions.get::<Self>().cloned();
        Ok(caller.expect("every request is authenticated"))
    }
}

/// The known callers, each with the digest of its token: digests are of one length, so that
/// comparing them does not reveal that of a token.
#[derive(Clone)]
pub(super) struct Access(Arc<[([u8; 32], Caller)]>);

impl Access {
    pub(super) fn new(settings: &ConsoleSettings) -> Self {
        let digest = |token: &SecretString| Sha256::digest(token.expose_secret()).into();
        let tokens = settings.tokens.iter().map(|given| {
            let name = identifier(given.role.as_str());
            (digest(&given.token), Caller { name, role: given.role, sites: None })
        });
        let users = settings.users.iter().map(|user| {
            let sites = user.sites.as_deref().map(Arc::from);
            (digest(&user.token), Caller { name: user.name.clone(), role: user.role, sites })
        });
        Self(tokens.chain(users).collect())
    }

    /// Whether there are no tokens.
    pub(super) fn is_open(&self) -> bool {
        self.0.is_empty()
    }

    /// Answers only requests with a known token, and records who makes them.
    pub(super) fn protect(self, router: Router) -> Router {
        router.layer(from_fn_with_state(self, authenticate))
    }

    /// Whose token the request has.
    fn caller_of(&self, headers: &HeaderMap) -> Result<Caller, Problem> {
        if self.is_open() {
            return Ok(Caller { name: identifier("console"), role: Role::Operate, sites: None });
        }
        let token = bearer_token(headers)?;
        let given: [u8; 32] = Sha256::digest(token).into();
        // Every token is compared, so that the time does not reveal which one is nearly right.
        let place = (0_u32..).zip(self.0.iter()).fold(NOBODY, |found, (place, (digest, _))| {
            u32::conditional_select(&found, &place, digest.ct_eq(&given))
        });
        let caller = usize::try_from(place).ok().and_then(|place| self.0.get(place));
        let unknown = || unauthorized("the token is unknown", CHALLENGE_INVALID);
        caller.map(|(_, caller)| caller.clone()).ok_or_else(unknown)
    }
}

/// The place of no caller, where one is selected in constant time.
const NOBODY: u32 = u32::MAX;

fn identifier(name: &str) -> Identifier {
    Identifier::parse(name).expect("it is a short plain text")
}

/// The token of `Authorization: Bearer`. If there are two headers, one may be forged, so both are
/// refused.
fn bearer_token(headers: &HeaderMap) -> Result<&[u8], Problem> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let Some(value) = values.next() else {
        return Err(unauthorized("send a token: Authorization: Bearer <token>", CHALLENGE));
    };
    let token = match value.as_bytes().split_at_checked("Bearer ".len()) {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case(b"Bearer ") => token.trim_ascii(),
        Some(_) | None => b"",
    };
    if token.is_empty() || values.next().is_some() {
        return Err(unauthorized("Authorization: must be one `Bearer <token>`", CHALLENGE));
    }
    Ok(token)
}

fn unauthorized(detail: &str, challenge: &'static str) -> Problem {
    let challenge = HeaderValue::from_static(challenge);
    Problem::new(ProblemCode::AuthMissing, detail).with_header(header::WWW_AUTHENTICATE, challenge)
}

async fn authenticate(State(access): State<Access>, mut request: Request, next: Next) -> Response {
    match access.caller_of(request.headers()) {
        Ok(caller) => {
            request.extensions_mut().insert(caller);
            next.run(request).await
        }
        Err(problem) => {
            let peer = request.extensions().get().copied();
            log_refusal(peer, ROUTE, problem.code(), &problem.detail());
            problem.into_response()
        }
    }
}

/// Lets a request pass if its token has at least this role and may see what the route is about.
async fn require(needed: Role, scope: Scope, mut request: Request, next: Next) -> Response {
    // A request that was not authenticated has no caller.
    let Some(caller) = request.extensions().get::<Caller>().cloned() else {
        return Problem::new(ProblemCode::AuthForbidden, "nobody made this request")
            .into_response();
    };
    if caller.role < needed {
        let detail = format!("this needs a token of role {}", needed.as_str());
        return Problem::new(ProblemCode::AuthForbidden, detail).into_response();
    }
    let checked = match scope {
        Scope::OfCaller => Ok(()),
        Scope::AllSites => caller.check(None),
        Scope::OfSite => match site_of(&mut request).await {
            Some(site) => caller.check(Some(&site)),
            // The handler refuses what is no name of a site.
            None => Ok(()),
        },
    };
    match checked {
        Ok(()) => next.run(request).await,
        Err(problem) => problem.into_response(),
    }
}

/// The site that the path names.
async fn site_of(request: &mut Request) -> Option<Site> {
    let params = request.extract_parts::<RawPathParams>().await.ok()?;
    let (_, site) = params.iter().find(|(name, _)| *name == "site")?;
    Site::parse(site).ok()
}

#[cfg(test)]
mod tests {
    use axum::routing::{get, post};
    use secrecy::SecretString;
    use tokio::sync::Semaphore;
    use tokio_util::sync::CancellationToken;

    use super::*;
    use crate::config::ConsoleToken;

    fn access() -> Access {
        let token = |role, text: &str| ConsoleToken { role, token: SecretString::from(text) };
        let tokens = vec![
            token(Role::Read, "look"),
            token(Role::Operate, "act"),
            token(Role::Read, "look-too"),
        ];
        Access::new(&settings(tokens))
    }

    fn settings(tokens: Vec<ConsoleToken>) -> ConsoleSettings {
        ConsoleSettings { listen: "127.0.0.1:0".parse().unwrap(), tokens, users: Vec::new() }
    }

    fn role(values: &[&[u8]]) -> Option<Role> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(header::AUTHORIZATION, HeaderValue::from_bytes(value).unwrap());
        }
        access().caller_of(&headers).ok().map(|caller| caller.role)
    }

    #[test]
    fn a_token_has_its_role() {
        assert_eq!(role(&[b"Bearer look"]), Some(Role::Read));
        assert_eq!(role(&[b"bearer   look-too "]), Some(Role::Read));
        assert_eq!(role(&[b"BEARER act"]), Some(Role::Operate));
    }

    #[test]
    fn whatever_is_no_known_token_has_none() {
        for value in [
            b"".as_slice(),
            b"Bearer",
            b"Bearer ",
            b"Bearer guess",
            b"Bearer loo",
            b"Bearer look2",
            b"Bearer LOOK",
            b"Bearer look act",
            b"Bearer,look",
            b"look",
            b"Basic bG9vazo=",
            b"Token look",
            b"Bearer \xff\xfe",
            b"read:look",
            b"Bearer read:look",
        ] {
            assert_eq!(role(&[value]), None, "{}", value.escape_ascii());
        }
        assert_eq!(role(&[]), None);
        assert_eq!(role(&[b"Bearer act", b"Bearer act"]), None);
        assert_eq!(role(&[b"Bearer act", b"Basic YWN0"]), None);
    }

    #[tokio::test]
    async fn a_role_that_is_too_low_is_forbidden() {
        use axum::body::Body;
        use tower::ServiceExt;

        let directory = tempfile::tempdir().unwrap();
        let store = crate::store::embedded::EmbeddedStore::open(directory.path()).unwrap();
        let broker = crate::broker::embedded::EmbeddedBroker::open(directory.path()).unwrap();
        let router = Router::new()
            .route("/", needs(Role::Read, Scope::AllSites, get(|| async { "seen" })))
            .route("/", needs(Role::Operate, Scope::AllSites, post(|| async { "done" })))
            .with_state(Backends {
                sources: Arc::default(),
                store: Arc::new(store),
                broker: Arc::new(broker),
                streams: Arc::new(Semaphore::new(1)),
                stop: CancellationToken::new(),
            });
        let router = access().protect(router);
        for (method, token, status) in [
            ("GET", "look", 200),
            ("HEAD", "look", 200),
            ("GET", "act", 200),
            ("POST", "look", 403),
            ("POST", "look-too", 403),
            ("POST", "act", 200),
            ("POST", "guess", 401),
            ("PUT", "look", 405),
        ] {
            let request = axum::http::Request::builder().method(method).uri("/");
            let request = request.header("authorization", format!("Bearer {token}"));
            let answer = router.clone().oneshot(request.body(Body::empty()).unwrap()).await;
            assert_eq!(answer.unwrap().status(), status, "{method} {token}");
        }
    }

    #[test]
    fn without_tokens_everyone_is_an_operator() {
        let open = Access::new(&settings(Vec::new()));
        let caller = open.caller_of(&HeaderMap::new()).unwrap();
        assert_eq!((caller.role, caller.sees_all()), (Role::Operate, true));
    }
}
