use std::io;
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use ssehub::{ClientOptions, Proxy};

use super::{LONG, options};

/// Options of a client that goes through this proxy.
pub(crate) fn through(proxy: &str) -> ClientOptions {
    ClientOptions {
        proxy: Proxy::Url(proxy.into()),
        ..options()
    }
}

/// A proxy that hands bytes on, once it has agreed with the client on where to.
pub(crate) struct Relay {
    pub(crate) address: SocketAddr,
    said: Arc<Mutex<Vec<String>>>,
}

impl Relay {
    pub(crate) fn new(
        agree: impl Fn(&mut TcpStream, &mut Vec<String>) -> io::Result<TcpStream>
        + Send
        + Sync
        + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let said = Arc::new(Mutex::new(Vec::new()));
        let relay = Self {
            address,
            said: said.clone(),
        };
        let agree = Arc::new(agree);
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let (agree, said) = (agree.clone(), said.clone());
                // Ends with its connection, whatever happens there.
                std::thread::spawn(move || serve(client, &*agree, &said));
            }
        });
        relay
    }

    pub(crate) fn said(&self) -> Vec<String> {
        self.said.lock().unwrap().clone()
    }
}

fn serve(
    mut client: TcpStream,
    agree: &dyn Fn(&mut TcpStream, &mut Vec<String>) -> io::Result<TcpStream>,
    said: &Mutex<Vec<String>>,
) -> io::Result<()> {
    client.set_read_timeout(Some(LONG))?;
    let server = agree(&mut client, &mut said.lock().unwrap())?;
    let (mut from_client, mut to_server) = (client.try_clone()?, server.try_clone()?);
    std::thread::spawn(move || {
        let _ = io::copy(&mut from_client, &mut to_server);
        let _ = to_server.shutdown(Shutdown::Both);
    });
    let (mut from_server, mut to_client) = (server, client);
    let _ = io::copy(&mut from_server, &mut to_client);
    to_client.shutdown(Shutdown::Both)
}
