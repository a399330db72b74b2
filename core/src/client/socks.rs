//! Through a SOCKS 5 proxy (RFC 1928, RFC 1929).

use std::borrow::Cow;
use std::io;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use url::Host;

use super::socket::Io;

const VERSION: u8 = 5;
const NO_LOGIN: u8 = 0;
const PASSWORD: u8 = 2;
const IPV4: u8 = 1;
const NAME: u8 = 3;
const IPV6: u8 = 4;

/// Why a proxy does not connect.
pub(crate) struct Refused {
    pub(crate) why: Cow<'static, str>,
    /// Whether it may do so later, asked the same.
    pub(crate) retryable: bool,
}

impl Refused {
    fn for_good(why: impl Into<Cow<'static, str>>) -> Self {
        Self {
            why: why.into(),
            retryable: false,
        }
    }

    fn for_now(why: impl Into<Cow<'static, str>>) -> Self {
        Self {
            why: why.into(),
            retryable: true,
        }
    }
}

impl From<io::Error> for Refused {
    fn from(error: io::Error) -> Self {
        Self::for_now(error.to_string())
    }
}

/// Asks for a connection to this host, whose name the proxy looks up.
pub(crate) async fn connect(
    io: &mut Io,
    login: Option<(&str, &str)>,
    host: &Host<&str>,
    port: u16,
) -> Result<(), Refused> {
    let methods: &[u8] = match login {
        Some(_) => &[VERSION, 2, NO_LOGIN, PASSWORD],
        None => &[VERSION, 1, NO_LOGIN],
    };
    send(io, methods).await?;
    match (read(io).await?, login) {
        ([VERSION, NO_LOGIN], _) => {}
        ([VERSION, PASSWORD], Some((user, password))) => log_in(io, user, password).await?,
        ([VERSION, _], Some(_)) => {
            return Err(Refused::for_good("it takes no user and password"));
        }
        ([VERSION, _], None) => {
            return Err(Refused::for_good(
                "it wants a login: put user and password into its URL",
            ));
        }
        _ => return Err(Refused::for_now("it does not speak SOCKS 5")),
    }
    let mut request = vec![VERSION, 1, 0];
    match host {
        Host::Ipv4(address) => {
            request.push(IPV4);
            request.extend(address.octets());
        }
        Host::Ipv6(address) => {
            request.push(IPV6);
            request.extend(address.octets());
        }
        Host::Domain(name) => {
            request.push(NAME);
            push_text(&mut request, name, "the name of the host")?;
        }
    }
    request.extend(port.to_be_bytes());
    send(io, &request).await?;
    let [version, reply, _, kind] = read(io).await?;
    if version != VERSION {
        return Err(Refused::for_now("it does not speak SOCKS 5"));
    }
    refusal(reply)?;
    // The address that it connects from: of no use here.
    let length = match kind {
        IPV4 => 4,
        IPV6 => 16,
        _ => {
            let [length] = read(io).await?;
            usize::from(length)
        }
    };
    io.read_exact(&mut vec![0; length + 2]).await?;
    Ok(())
}

async fn log_in(io: &mut Io, user: &str, password: &str) -> Result<(), Refused> {
    let mut login = vec![1];
    push_text(&mut login, user, "the user")?;
    push_text(&mut login, password, "the password")?;
    send(io, &login).await?;
    match read(io).await? {
        [_, 0] => Ok(()),
        [_, _] => Err(Refused::for_good("it does not accept user and password")),
    }
}

fn refusal(reply: u8) -> Result<(), Refused> {
    Err(match reply {
        0 => return Ok(()),
        2 => Refused::for_good("its rules do not allow this connection"),
        3 => Refused::for_now("it does not reach the network"),
        4 => Refused::for_now("it does not reach the host"),
        5 => Refused::for_now("the host refused its connection"),
        6 => Refused::for_now("its connection timed out"),
        7 | 8 => Refused::for_good("it cannot make such connections"),
        _ => Refused::for_now(format!("it failed with code {reply}")),
    })
}

fn push_text(bytes: &mut Vec<u8>, text: &str, what: &str) -> Result<(), Refused> {
    let length = u8::try_from(text.len())
        .map_err(|_| Refused::for_good(format!("{what} is longer than 255 bytes")))?;
    bytes.push(length);
    bytes.extend(text.as_bytes());
    Ok(())
}

async fn send(io: &mut Io, bytes: &[u8]) -> io::Result<()> {
    io.write_all(bytes).await?;
    io.flush().await
}

async fn read<const N: usize>(io: &mut Io) -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    io.read_exact(&mut bytes).await?;
    Ok(bytes)
}
