//! Recognising requests of this machine, where nothing else is verified.
//!
//! A service without credentials listens on loopback, and the possible attacker is any web page
//! that somebody on this machine visits. A page can make the browser send requests here: they are
//! recognised by `Origin` and `Sec-Fetch-Site`. A page can also let its own name resolve to
//! 127.0.0.1: that is recognised by `Host`. And a proxy may have made the service public: what comes
//! through one is recognised by the headers that proxies add.

use std::net::{Ipv4Addr, Ipv6Addr};

use axum::http::uri::Authority;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Uri, header};

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
const X_REAL_IP: HeaderName = HeaderName::from_static("x-real-ip");

/// Checks that a request was sent to this machine, and by nobody from elsewhere; the error is for
/// the sender.
pub fn check_local(uri: &Uri, headers: &HeaderMap) -> Result<(), &'static str> {
    let mut hosts = headers.get_all(header::HOST).iter();
    let is_local = match (hosts.next(), hosts.next()) {
        (Some(host), None) => host.to_str().is_ok_and(is_loopback),
        (None | Some(_), _) => false,
    };
    // If the request line names the host too, that name counts.
    if !is_local || uri.authority().is_some_and(|authority| !is_loopback(authority.as_str())) {
        return Err("Host: must be a loopback address or localhost");
    }
    if headers.get_all(header::ORIGIN).iter().any(|origin| !is_loopback_origin(origin)) {
        return Err("Origin: must be a loopback address or localhost");
    }
    if headers.get_all(SEC_FETCH_SITE).iter().any(|site| site == "cross-site") {
        return Err("Sec-Fetch-Site: requests from other sites are refused");
    }
    if headers.keys().any(is_of_proxy) {
        return Err("this service verifies no sender, so it takes nothing through a proxy");
    }
    Ok(())
}

fn is_of_proxy(name: &HeaderName) -> bool {
    [header::VIA, header::FORWARDED, X_REAL_IP].contains(name)
        || name.as_str().starts_with("x-forwarded-")
}

fn is_loopback_origin(origin: &HeaderValue) -> bool {
    let Ok(origin) = origin.to_str() else { return false };
    let authority = origin.strip_prefix("http://").or_else(|| origin.strip_prefix("https://"));
    authority.is_some_and(is_loopback)
}

/// Whether a `host[:port]` names this machine, regardless of DNS.
fn is_loopback(authority: &str) -> bool {
    let Ok(parsed) = authority.parse::<Authority>() else { return false };
    if authority.contains('@') {
        return false;
    }
    let host = parsed.host();
    if let Some(address) = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
        return address.parse::<Ipv6Addr>().is_ok_and(|address| address.is_loopback());
    }
    host.eq_ignore_ascii_case("localhost")
        || host.parse::<Ipv4Addr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOCAL: (&str, &str) = ("host", "127.0.0.1:8081");

    fn is_local(target: &str, headers: &[(&'static str, &str)]) -> bool {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, value.parse().unwrap());
        }
        check_local(&target.parse().unwrap(), &map).is_ok()
    }

    #[test]
    fn only_loopback_hosts_are_local() {
        for host in
            ["localhost", "LOCALHOST:8081", "127.0.0.1", "127.8.9.1:1", "[::1]", "[::1]:8081"]
        {
            assert!(is_local("/", &[("host", host)]), "{host}");
        }
        for host in [
            "",
            "example.com",
            "localhost.example.com",
            "127.0.0.1.example.com",
            "10.0.0.1",
            "0.0.0.0",
            "[::2]",
            "[::1",
            "me@localhost",
            "localhost/..",
            "2130706433",
        ] {
            assert!(!is_local("/", &[("host", host)]), "{host}");
        }
    }

    #[test]
    fn a_host_that_is_missing_or_named_twice_is_not_local() {
        assert!(!is_local("/", &[]));
        assert!(!is_local("/", &[("host", "localhost"), ("host", "example.com")]));
        assert!(!is_local("http://example.com/", &[("host", "localhost")]));
    }

    #[test]
    fn requests_of_foreign_pages_are_not_local() {
        for origin in ["http://127.0.0.1:8081", "http://localhost:3000", "https://[::1]"] {
            assert!(is_local("/", &[LOCAL, ("origin", origin)]), "{origin}");
        }
        for origin in ["null", "https://example.com", "http://localhost.example.com", "localhost"] {
            assert!(!is_local("/", &[LOCAL, ("origin", origin)]), "{origin}");
        }
        assert!(!is_local("/", &[LOCAL, ("sec-fetch-site", "cross-site")]));
        assert!(is_local("/", &[LOCAL, ("sec-fetch-site", "same-origin")]));
    }

    #[test]
    fn what_came_through_a_proxy_is_not_local() {
        for name in [
            "via",
            "forwarded",
            "x-real-ip",
            "x-forwarded-for",
            "x-forwarded-host",
            "x-forwarded-proto",
            "x-forwarded-anything",
        ] {
            assert!(!is_local("/", &[LOCAL, (name, "1.1 proxy")]), "{name}");
        }
        assert!(is_local("/", &[LOCAL, ("x-request-id", "7")]));
    }
}
