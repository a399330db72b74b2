//! Who stands between the server and us, as far as the answer tells, and what to tell each of them.

use hyper::HeaderMap;

/// Somebody who passes the stream on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::cli) enum Proxy {
    Nginx,
    Apache,
    Caddy,
    Cloudflare,
    CloudFront,
    AwsAlb,
    Varnish,
    Envoy,
}

use Proxy as P;

impl Proxy {
    pub(in crate::cli) const fn name(self) -> &'static str {
        match self {
            P::Nginx => "nginx",
            P::Apache => "Apache",
            P::Caddy => "Caddy",
            P::Cloudflare => "Cloudflare",
            P::CloudFront => "CloudFront",
            P::AwsAlb => "AWS load balancer",
            P::Varnish => "Varnish",
            P::Envoy => "Envoy",
        }
    }

    /// What stops it from buffering.
    pub(in crate::cli) const fn unbuffered(self) -> &'static str {
        match self {
            P::Nginx => {
                "nginx: set `proxy_buffering off;` in the location of this stream \
                 (`uwsgi_buffering`, `fastcgi_buffering` where it speaks those), with \
                 `proxy_http_version 1.1;`. The header `X-Accel-Buffering: no`, which ssehub \
                 sends, does the same by itself: unless `proxy_ignore_headers X-Accel-Buffering;` \
                 is set, so remove that."
            }
            P::Apache => {
                "Apache: set `flushpackets=on` in the ProxyPass of this stream, and take it out \
                 of mod_deflate with `SetEnvIf Request_URI \"^/events\" no-gzip=1` (with its \
                 path)."
            }
            P::Caddy => "Caddy: set `flush_interval -1` in its reverse_proxy.",
            P::Cloudflare => {
                "Cloudflare: switch response buffering off for this path; it passes event streams \
                 on by itself otherwise."
            }
            P::CloudFront => {
                "CloudFront: switch compression off in the behaviour of this path, and use the \
                 policy CachingDisabled."
            }
            P::AwsAlb => {
                "An AWS load balancer does not buffer: look at what is behind it. Before a Lambda \
                 function it does: that cannot stream."
            }
            P::Varnish => {
                "Varnish: `return (pipe);` for this path, or `set beresp.do_stream = true;` and \
                 no ESI, no gzip."
            }
            P::Envoy => "Envoy: take the filters `buffer` and `compressor` off this route.",
        }
    }

    /// What makes it patient with a silent stream.
    pub(in crate::cli) const fn patient(self) -> &'static str {
        match self {
            P::Nginx => {
                "nginx: or raise `proxy_read_timeout` (60s unless set), as in `proxy_read_timeout \
                 1h;`."
            }
            P::Apache => "Apache: or raise `ProxyTimeout`, or `timeout=` in the ProxyPass.",
            P::Caddy => "Caddy: or look at `read_timeout` in the transport of its reverse_proxy.",
            P::Cloudflare => "Cloudflare cuts after 100 s without a byte: only heartbeats help.",
            P::CloudFront => {
                "CloudFront: or raise the response timeout of the origin (30 s unless set)."
            }
            P::AwsAlb => {
                "AWS load balancer: or raise `idle_timeout.timeout_seconds` (60 unless set)."
            }
            P::Varnish => "Varnish: or raise `between_bytes_timeout` (60s unless set).",
            P::Envoy => {
                "Envoy: or set `timeout: 0s` for the route (15 s for the whole answer unless \
                 set), and raise `stream_idle_timeout`."
            }
        }
    }

    /// What stops it from compressing.
    pub(in crate::cli) const fn uncompressed(self) -> &'static str {
        match self {
            P::Nginx => "nginx: set `gzip off;` in the location of this stream.",
            P::Apache => "Apache: `SetEnvIf Request_URI \"^/events\" no-gzip=1` (with its path).",
            P::Caddy => "Caddy: take text/event-stream out of what `encode` matches.",
            P::Cloudflare => "Cloudflare: the server's `Cache-Control: no-transform` forbids it.",
            P::CloudFront => "CloudFront: switch compression off in the behaviour of this path.",
            P::AwsAlb => "An AWS load balancer does not compress: look at what is behind it.",
            P::Varnish => "Varnish: `set beresp.do_gzip = false;`.",
            P::Envoy => "Envoy: take the filter `compressor` off this route.",
        }
    }
}

/// Those who have left a trace in the answer.
pub(in crate::cli) fn found(headers: &HeaderMap) -> Vec<Proxy> {
    let has = |name: &str| headers.contains_key(name);
    let says = |name: &str, word: &str| {
        headers
            .get_all(name)
            .iter()
            .any(|value| contains(value.as_bytes(), word.as_bytes()))
    };
    let traces = [
        (
            P::Nginx,
            says("server", "nginx") || says("server", "openresty"),
        ),
        (P::Apache, says("server", "apache") || says("via", "apache")),
        (P::Caddy, says("server", "caddy") || says("via", "caddy")),
        (P::Cloudflare, says("server", "cloudflare") || has("cf-ray")),
        (
            P::CloudFront,
            says("via", "cloudfront") || has("x-amz-cf-id"),
        ),
        (
            P::AwsAlb,
            says("server", "awselb") || says("set-cookie", "AWSALB"),
        ),
        (P::Varnish, says("via", "varnish") || has("x-varnish")),
        (
            P::Envoy,
            says("server", "envoy") || has("x-envoy-upstream-service-time"),
        ),
    ];
    traces
        .into_iter()
        .filter_map(|(proxy, trace)| trace.then_some(proxy))
        .collect()
}

fn contains(text: &[u8], word: &[u8]) -> bool {
    text.windows(word.len())
        .any(|part| part.eq_ignore_ascii_case(word))
}
