//! Authentication and authorisation: bearer tokens, and the role that each route needs.
//!
//! A token has one role. If no token is configured, every caller may do everything, and
//! [`super::guard`] ensures that only this machine can call.
//!
//! # Invariants
//! - A route cannot be served without a role: the table of routes has a column for it.
//! - A given token is compared with every known token in constant time.
//! - Without a token, paths that do not exist are answered with 401 too: they reveal nothing.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, header};
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::MethodRouter;
use axum::{Extension, Router};
use secrecy::ExposeSecret;
use sha2::{Digest, Sha256};
use subtle::{ConditionallySelectable, ConstantTimeEq};

use super::{Backends, ROUTE};
use crate::config::{ConsoleToken, Role};
use crate::domain::Identifier;
use crate::http::log_refusal;
use crate::http::problem::{Problem, ProblemCode};

/// The challenge for a caller without a token.
const CHALLENGE: &str = "Bearer realm=\"storekeeper\"";
/// The challenge for a caller with an unknown token.
const CHALLENGE_INVALID: &str = "Bearer realm=\"storekeeper\", error=\"invalid_token\"";

/// Restricts methods to callers whose token has at least this role.
pub(super) fn needs(role: Role, methods: MethodRouter<Backends>) -> MethodRouter<Backends> {
    methods.route_layer(from_fn(move |request, next| require(role, request, next)))
}

/// The role of the request's token, for handlers that show more to operators.
pub(super) type Caller = Extension<Role>;

/// The actor, as it is recorded with changes: the role of the token, or the console if there are no
/// tokens.
#[derive(Debug, Clone, Copy)]
pub(super) struct Actor(&'static str);

impl Actor {
    /// The name that is recorded.
    pub(super) fn name(self) -> Identifier {
        Identifier::parse(self.0).expect("it is a short plain text")
    }
}

/// The digests of the known tokens: of one length, so that comparing them does not reveal theirs.
#[derive(Clone)]
pub(super) struct Access(Arc<[([u8; 32], Role)]>);

impl Access {
    pub(super) fn new(tokens: &[ConsoleToken]) -> Self {
        let digest =
            |token: &ConsoleToken| (Sha256::digest(token.token.expose_secret()).into(), token.role);
        Self(tokens.iter().map(digest).collect())
    }

    /// Whether there are no tokens.
    pub(super) fn is_open(&self) -> bool {
        self.0.is_empty()
    }

    /// Answers only requests with a known token, and records their role.
    pub(super) fn protect(self, router: Router) -> Router {
        router.layer(from_fn_with_state(self, authenticate))
    }

    /// The role of the request's token.
    fn role_of(&self, headers: &HeaderMap) -> Result<Role, Problem> {
        if self.is_open() {
            return Ok(Role::Operate);
        }
        let token = bearer_token(headers)?;
        let given: [u8; 32] = Sha256::digest(token).into();
        // Every token is compared, so that the time does not reveal which one is nearly right.
        let role = self.0.iter().fold(NOBODY, |found, (digest, role)| {
            u8::conditional_select(&found, &number_of(*role), digest.ct_eq(&given))
        });
        [Role::Read, Role::Operate]
            .into_iter()
            .find(|known| number_of(*known) == role)
            .ok_or_else(|| unauthorized("the token is unknown", CHALLENGE_INVALID))
    }
}

/// No role, where a role is selected in constant time.
const NOBODY: u8 = 0;

const fn number_of(role: Role) -> u8 {
    match role {
        Role::Read => 1,
        Role::Operate => 2,
    }
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
    match access.role_of(request.headers()) {
        Ok(role) => {
            let actor = Actor(if access.is_open() { "console" } else { role.as_str() });
            request.extensions_mut().insert(role);
            request.extensions_mut().insert(actor);
            next.run(request).await
        }
        Err(problem) => {
            let peer = request.extensions().get().copied();
            log_refusal(peer, ROUTE, problem.code(), &problem.detail());
            problem.into_response()
        }
    }
}

/// Lets a request pass if its token has at least this role.
async fn require(needed: Role, request: Request, next: Next) -> Response {
    // A request that was not authenticated has no role.
    if request.extensions().get::<Role>().is_some_and(|role| *role >= needed) {
        return next.run(request).await;
    }
    let detail = format!("this needs a token of role {}", needed.as_str());
    Problem::new(ProblemCode::AuthForbidden, detail).into_response()
}

#[cfg(test)]
mod tests {
    use axum::routing::{get, post};
    use secrecy::SecretString;
    use tokio::sync::Semaphore;
    use tokio_util::sync::CancellationToken;

    use super::*;

    fn access() -> Access {
        let token = |role, text: &str| ConsoleToken { role, token: SecretString::from(text) };
        Access::new(&[
            token(Role::Read, "look"),
            token(Role::Operate, "act"),
            token(Role::Read, "look-too"),
        ])
    }

    fn role(values: &[&[u8]]) -> Option<Role> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(header::AUTHORIZATION, HeaderValue::from_bytes(value).unwrap());
        }
        access().role_of(&headers).ok()
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
            .route("/", needs(Role::Read, get(|| async { "seen" })))
            .route("/", needs(Role::Operate, post(|| async { "done" })))
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
        let open = Access::new(&[]);
        assert_eq!(open.role_of(&HeaderMap::new()).ok(), Some(Role::Operate));
    }
}
