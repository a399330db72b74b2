//! A clock for every client. Run it with `cargo run -p ssehub --example hello`, then listen with the command it prints.
//! A port may be given: `cargo run -p ssehub --example hello -- 8000`
#![allow(clippy::print_stdout, reason = "it says where it listens")]

use bytes::Bytes;
use http_body_util::channel::Channel;
use hyper::header::{CACHE_CONTROL, CONTENT_TYPE};
use hyper::{Request, Response, body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use ssehub::{Event, Hub};

type Result<T> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// Answers with what is published from now on, or since the last event that the client saw.
async fn clock(hub: Hub, request: Request<Incoming>) -> Result<Response<Channel<Bytes>>> {
    let last_event_id = request
        .headers()
        .get("last-event-id")
        .and_then(|id| id.to_str().ok());
    let subscription = hub.subscribe(&["clock".into()], Default::default())?;
    let mut reader = subscription
        .resume(last_event_id.unwrap_or_default())
        .reader()?;
    let (mut client, body) = Channel::new(1);
    tokio::spawn(async move {
        while let Some(event) = reader.next().await
            && client.send_data(event.encode().into()).await.is_ok()
        {}
    });
    let head = Response::builder()
        .header(CONTENT_TYPE, "text/event-stream")
        .header(CACHE_CONTROL, "no-cache");
    Ok(head.body(body)?)
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let hub = Hub::new(Default::default())?;
    let port = std::env::args().nth(1).map_or(Ok(0), |port| port.parse())?;
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", port)).await?;
    println!("curl -N http://{}", listener.local_addr()?);

    let publisher = hub.clone();
    tokio::spawn(async move {
        for second in 0.. {
            let tick = Event::new(format!("{second} seconds")).with_event("tick");
            tick.and_then(|tick| publisher.publish(&["clock"], &tick, None))
                .expect("a valid event");
            tokio::time::sleep(std::time::Duration::from_secs(1)).await;
        }
    });
    loop {
        let (socket, _) = listener.accept().await?;
        let hub = hub.clone();
        let service = service_fn(move |request| clock(hub.clone(), request));
        tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(socket), service));
    }
}
