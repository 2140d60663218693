//! Where the programs of this machine take connections, as the kernel tells it.

use std::collections::BTreeSet;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// Where these processes listen, over TCP. What cannot be seen is not told. Blocks.
pub(super) fn listening(pids: impl IntoIterator<Item = i32>) -> Vec<SocketAddr> {
    let sockets: BTreeSet<u64> = pids.into_iter().flat_map(sockets_of).collect();
    let tables = ["/proc/net/tcp", "/proc/net/tcp6"].map(|path| fs::read_to_string(path).unwrap_or_default());
    let mut found: Vec<SocketAddr> = tables
        .iter()
        .flat_map(|table| table.lines().filter_map(listener))
        .filter(|(_, socket)| sockets.contains(socket))
        .map(|(address, _)| address)
        .collect();
    found.sort_unstable();
    found.dedup();
    found
}

/// The numbers of a process's sockets. Source: `proc_pid_fd(5)`, `socket:[2248868]`.
fn sockets_of(pid: i32) -> Vec<u64> {
    let entries = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
    let number = |entry: fs::DirEntry| {
        let target = fs::read_link(entry.path()).ok()?;
        target.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok()
    };
    entries.filter_map(number).collect()
}

/// A line of `/proc/net/tcp` or `tcp6` about a socket that listens: where, and its number.
///
/// Source: `proc_pid_net(5)` and the kernel's documentation, "`proc_net_tcp`": address and port in hexadecimal,
/// the address in words of the machine's own order; state `0A` listens; the tenth field is the number.
fn listener(line: &str) -> Option<(SocketAddr, u64)> {
    let fields: Vec<&str> = line.split_whitespace().collect();
    if fields.get(3) != Some(&"0A") {
        return None;
    }
    let (ip, port) = fields.get(1)?.split_once(':')?;
    let address = SocketAddr::new(address(ip)?, u16::from_str_radix(port, 16).ok()?);
    Some((address, fields.get(9)?.parse().ok()?))
}

fn address(text: &str) -> Option<IpAddr> {
    let word = |at: usize| Some(u32::from_str_radix(text.get(at * 8..at * 8 + 8)?, 16).ok()?.to_ne_bytes());
    match text.len() {
        8 => Some(Ipv4Addr::from(word(0)?).into()),
        32 => {
            let bytes = [word(0)?, word(1)?, word(2)?, word(3)?].concat();
            Some(Ipv6Addr::from(<[u8; 16]>::try_from(bytes).ok()?).into())
        }
        _ => None,
    }
}

/// Whether this machine has an address `::1`: many a container has none.
#[cfg(test)]
pub(super) fn has_second_family() -> bool {
    fs::read_to_string("/proc/net/if_inet6").unwrap_or_default().contains(&format!("{:032x}", 1))
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[cfg(target_endian = "little")]
    #[test]
    fn lines_of_the_kernel_are_read_as_it_writes_them() {
        let of = |local: &str, state: &str| {
            listener(&format!(
                "   0: {local} 00000000:0000 {state} 00000000:00000000 00:00000000 00000000  0  0 4711 1"
            ))
        };
        let at = |text: &str| Some((text.parse().expect("an address"), 4711));
        assert_eq!(of("0100007F:1F90", "0A"), at("127.0.0.1:8080"));
        assert_eq!(of("00000000:0050", "0A"), at("0.0.0.0:80"));
        assert_eq!(of("00000000000000000000000001000000:1F90", "0A"), at("[::1]:8080"));
        assert_eq!(of("B80D01200000000067452301EFCDAB89:0016", "0A"), at("[2001:db8::123:4567:89ab:cdef]:22"));
        assert_eq!(of("0100007F:1F90", "01"), None, "a connection");
        assert_eq!(listener("  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt"), None);
        assert_eq!(of("01:1F90", "0A"), None);
    }

    #[test]
    fn a_process_is_told_where_it_listens() {
        let four = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
        let address = four.local_addr().expect("an address");
        let own = super::super::proc::own();
        assert!(listening([own]).contains(&address));
        drop(four);
        assert!(!listening([own]).contains(&address));
        assert_eq!(listening([]), Vec::<SocketAddr>::new());
    }
}
