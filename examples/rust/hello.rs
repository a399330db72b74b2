//! A clock for every client: `cargo run -p ssehub --example hello`, then the command that it prints.
#![allow(clippy::print_stdout, reason = "it says where it listens")]

use std::{error::Error, future::ready, time::Duration};

use http_body_util::channel::Channel;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::{Request, Response, body, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use ssehub::{Event, Hub, HubOptions, SubscribeOptions};

/// Answers with what is published from now on, or since the last event that the client saw.
fn clock(
    hub: &Hub,
    request: &Request<body::Incoming>,
) -> ssehub::Result<Response<Channel<body::Bytes>>> {
    let id = request.headers().get("last-event-id");
    let id = id.and_then(|id| id.to_str().ok()).unwrap_or("");
    let subscription = hub.subscribe(&["clock".into()], SubscribeOptions::default())?;
    let mut reader = subscription.resume(id).reader()?;
    let (mut client, body) = Channel::new(1);
    tokio::spawn(async move {
        while let Some(event) = reader.next().await
            && client.send_data(event.encode().into()).await.is_ok()
        {}
    });
    let mut response = Response::new(body);
    let kind = HeaderValue::from_static("text/event-stream");
    response.headers_mut().insert(CONTENT_TYPE, kind);
    Ok(response)
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let hub = Hub::new(HubOptions::default())?;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    println!("curl -N http://{}", listener.local_addr()?);
    tokio::spawn(serve(listener, hub.clone()));
    for second in 0.. {
        let tick = Event::new(format!("{second} seconds")).with_event("tick")?;
        hub.publish(&["clock"], &tick, None)?;
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    Ok(())
}

async fn serve(listener: tokio::net::TcpListener, hub: Hub) {
    while let Ok((socket, _)) = listener.accept().await {
        let hub = hub.clone();
        let service = service_fn(move |request| ready(clock(&hub, &request)));
        tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(socket), service));
    }
}
