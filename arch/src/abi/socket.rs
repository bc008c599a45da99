//! Sockets: socket(2), send(2), cmsg(3), unix(7), ip(7), netlink(7).

use super::macros::{abi_struct, flags, numbers};

numbers! {
    u16, families = linux_raw_sys::net;
    AF_UNSPEC 0 "No family.";
    AF_UNIX 1 "unix(7).";
    AF_INET 2 "ip(7).";
    AF_INET6 10 "ipv6(7).";
    AF_NETLINK 16 "netlink(7).";
    AF_PACKET 17 "packet(7).";
    AF_VSOCK 40 "vsock(7).";
    AF_MAX 46 "One more than the last family.";
}

numbers! {
    u32, socket_types = libc;
    SOCK_STREAM 1 "Byte stream.";
    SOCK_DGRAM 2 "Datagrams.";
    SOCK_RAW 3 "Raw packets.";
    SOCK_RDM 4 "Reliable datagrams.";
    SOCK_SEQPACKET 5 "Connected, keeps message bounds.";
    SOCK_CLOEXEC 0o2000000 "Close on execve(2).";
    SOCK_NONBLOCK 0o4000 "Do not wait.";
    SHUT_RD 0 "shutdown(2): no more reading.";
    SHUT_WR 1 "shutdown(2): no more writing.";
    SHUT_RDWR 2 "shutdown(2): neither.";
    SOMAXCONN 4096 "Longest backlog of listen(2).";
}

/// Bits of the type in socket(2)'s second argument: `SOCK_TYPE_MASK`.
pub const SOCK_TYPE_MASK: u32 = 0xf;

numbers! {
    i32, protocols = libc;
    IPPROTO_IP 0 "IP, and \"the default\".";
    IPPROTO_ICMP 1 "ICMP.";
    IPPROTO_TCP 6 "TCP.";
    IPPROTO_UDP 17 "UDP.";
    IPPROTO_IPV6 41 "IPv6.";
    IPPROTO_ICMPV6 58 "ICMPv6.";
    IPPROTO_RAW 255 "Raw IP.";
    SOL_SOCKET 1 "Options of every socket.";
    SOL_NETLINK 270 "Options of netlink sockets.";
    NETLINK_ROUTE 0 "rtnetlink(7).";
    NETLINK_KOBJECT_UEVENT 15 "Device events.";
}

numbers! {
    i32, socket_options = libc;
    SO_DEBUG 1 "Debugging.";
    SO_REUSEADDR 2 "Reuse local addresses.";
    SO_TYPE 3 "The socket's type.";
    SO_ERROR 4 "The pending error, cleared.";
    SO_DONTROUTE 5 "No gateway.";
    SO_BROADCAST 6 "Allow broadcast.";
    SO_SNDBUF 7 "Send buffer in bytes.";
    SO_RCVBUF 8 "Receive buffer in bytes.";
    SO_KEEPALIVE 9 "Keep-alive probes.";
    SO_OOBINLINE 10 "Urgent data in line.";
    SO_PRIORITY 12 "Packet priority.";
    SO_LINGER 13 "Wait in close(2).";
    SO_REUSEPORT 15 "Share a port.";
    SO_PASSCRED 16 "Receive credentials.";
    SO_PEERCRED 17 "The peer's credentials.";
    SO_RCVLOWAT 18 "Least bytes to receive.";
    SO_SNDLOWAT 19 "Least bytes to send; cannot be set.";
    SO_RCVTIMEO 20 "Receive timeout.";
    SO_SNDTIMEO 21 "Send timeout.";
    SO_BINDTODEVICE 25 "One interface only.";
    SO_ATTACH_FILTER 26 "A classic BPF filter.";
    SO_DETACH_FILTER 27 "Drop the filter.";
    SO_TIMESTAMP 29 "Receive time stamps, microseconds.";
    SO_ACCEPTCONN 30 "Whether it listens.";
    SO_PEERSEC 31 "The peer's security label.";
    SO_SNDBUFFORCE 32 "SO_SNDBUF beyond the limit; privileged.";
    SO_RCVBUFFORCE 33 "SO_RCVBUF beyond the limit; privileged.";
    SO_PASSSEC 34 "Receive security labels.";
    SO_TIMESTAMPNS 35 "Receive time stamps, nanoseconds.";
    SO_MARK 36 "Packet mark; privileged.";
    SO_PROTOCOL 38 "The socket's protocol.";
    SO_DOMAIN 39 "The socket's family.";
    SO_RXQ_OVFL 40 "Count dropped packets.";
    SO_PEEK_OFF 42 "Offset of MSG_PEEK.";
    SO_NOFCS 43 "No frame check sequence.";
    SO_LOCK_FILTER 44 "The filter stays.";
    SO_BUSY_POLL 46 "Busy poll in microseconds.";
    SO_INCOMING_CPU 49 "CPU of the flow.";
    SO_COOKIE 57 "The socket's number.";
    SO_PEERGROUPS 59 "The peer's groups.";
    SO_ZEROCOPY 60 "Allow MSG_ZEROCOPY.";
}

numbers! {
    i32, protocol_options = libc;
    TCP_NODELAY 1 "Send at once.";
    TCP_MAXSEG 2 "Largest segment.";
    TCP_CORK 3 "Send full segments only.";
    TCP_KEEPIDLE 4 "Seconds before probes.";
    TCP_KEEPINTVL 5 "Seconds between probes.";
    TCP_KEEPCNT 6 "Probes before the end.";
    TCP_SYNCNT 7 "SYN retries.";
    TCP_LINGER2 8 "Seconds in FIN-WAIT-2.";
    TCP_DEFER_ACCEPT 9 "Accept once data are there.";
    TCP_WINDOW_CLAMP 10 "Largest window.";
    TCP_INFO 11 "`struct tcp_info`.";
    TCP_QUICKACK 12 "Acknowledge at once.";
    TCP_CONGESTION 13 "Congestion control.";
    TCP_USER_TIMEOUT 18 "Milliseconds of unacknowledged data.";
    TCP_FASTOPEN 23 "Fast open queue.";
    IP_TOS 1 "Type of service.";
    IP_TTL 2 "Time to live.";
    IP_HDRINCL 3 "Packets bring their header.";
    IP_OPTIONS 4 "IP options.";
    IP_PKTINFO 8 "Receive destination and interface.";
    IP_MTU_DISCOVER 10 "Path MTU discovery.";
    IP_RECVERR 11 "Receive errors.";
    IP_RECVTTL 12 "Receive the time to live.";
    IP_RECVTOS 13 "Receive the type of service.";
    IP_MTU 14 "The path's MTU.";
    IP_FREEBIND 15 "Bind to any address.";
    IP_MULTICAST_IF 32 "Interface of multicast.";
    IP_MULTICAST_TTL 33 "Time to live of multicast.";
    IP_MULTICAST_LOOP 34 "Multicast to oneself.";
    IP_ADD_MEMBERSHIP 35 "Join a group.";
    IP_DROP_MEMBERSHIP 36 "Leave a group.";
    IP_BIND_ADDRESS_NO_PORT 24 "Choose the port in connect(2).";
    IPV6_UNICAST_HOPS 16 "Hop limit.";
    IPV6_MULTICAST_IF 17 "Interface of multicast.";
    IPV6_MULTICAST_HOPS 18 "Hop limit of multicast.";
    IPV6_MULTICAST_LOOP 19 "Multicast to oneself.";
    IPV6_MTU_DISCOVER 23 "Path MTU discovery.";
    IPV6_MTU 24 "The path's MTU.";
    IPV6_RECVERR 25 "Receive errors.";
    IPV6_V6ONLY 26 "No IPv4.";
    IPV6_RECVPKTINFO 49 "Receive destination and interface.";
    IPV6_PKTINFO 50 "Destination and interface.";
    IPV6_RECVHOPLIMIT 51 "Receive the hop limit.";
    IPV6_HOPLIMIT 52 "The hop limit.";
    IPV6_RECVTCLASS 66 "Receive the traffic class.";
    IPV6_TCLASS 67 "Traffic class.";
    SCM_RIGHTS 1 "Control message: descriptors.";
    SCM_CREDENTIALS 2 "Control message: `Ucred`.";
}

flags! {
    /// Flags of send(2) and recv(2), and of `msg_flags`.
    MsgFlags: u32, msg_flags = libc;
    OOB MSG_OOB 0x1, "Urgent data.";
    PEEK MSG_PEEK 0x2, "Leave the data in the queue.";
    DONTROUTE MSG_DONTROUTE 0x4, "No gateway.";
    CTRUNC MSG_CTRUNC 0x8, "Control data were cut.";
    TRUNC MSG_TRUNC 0x20, "Data were cut; on input: return the whole length.";
    DONTWAIT MSG_DONTWAIT 0x40, "Do not wait.";
    EOR MSG_EOR 0x80, "End of record.";
    WAITALL MSG_WAITALL 0x100, "Wait for all that was asked for.";
    FIN MSG_FIN 0x200, "Internal.";
    SYN MSG_SYN 0x400, "Internal.";
    CONFIRM MSG_CONFIRM 0x800, "The neighbour is alive.";
    RST MSG_RST 0x1000, "Internal.";
    ERRQUEUE MSG_ERRQUEUE 0x2000, "From the error queue.";
    NOSIGNAL MSG_NOSIGNAL 0x4000, "No SIGPIPE.";
    MORE MSG_MORE 0x8000, "More will follow.";
    WAITFORONE MSG_WAITFORONE 0x1_0000, "recvmmsg(2): do not wait after the first.";
    ZEROCOPY MSG_ZEROCOPY 0x400_0000, "Send from user pages.";
    FASTOPEN MSG_FASTOPEN 0x2000_0000, "Data in the SYN.";
    CMSG_CLOEXEC MSG_CMSG_CLOEXEC 0x4000_0000, "Received descriptors close on execve(2).";
}

abi_struct! {
    /// `struct msghdr`: sendmsg(2).
    pub struct Msghdr {
        /// Address of the socket address.
        pub name: u64,
        /// Bytes of it.
        pub namelen: u32,
        #[doc(hidden)]
        pub pad0: u32,
        /// Address of the `Iovec`s.
        pub iov: u64,
        /// How many.
        pub iovlen: u64,
        /// Address of the control data.
        pub control: u64,
        /// Bytes of them.
        pub controllen: u64,
        /// `MSG_` flags of what was received.
        pub flags: u32,
        #[doc(hidden)]
        pub pad1: u32,
    }
}

abi_struct! {
    /// `struct mmsghdr`: sendmmsg(2).
    pub struct Mmsghdr {
        /// The message.
        pub hdr: Msghdr,
        /// Bytes sent or received.
        pub len: u32,
        #[doc(hidden)]
        pub pad: u32,
    }
}

abi_struct! {
    /// `struct cmsghdr`; data follow, and each message starts at a multiple of 8.
    pub struct Cmsghdr {
        /// Bytes of header and data.
        pub len: u64,
        /// `SOL_` level.
        pub level: i32,
        /// Kind of message.
        pub kind: i32,
    }
}

impl Cmsghdr {
    /// `CMSG_ALIGN`: bytes until the next message may start; saturates.
    #[must_use]
    pub const fn align(len: u64) -> u64 {
        len.saturating_add(7) & !7
    }
}

abi_struct! {
    /// `struct ucred`: `SCM_CREDENTIALS`, `SO_PEERCRED`.
    pub struct Ucred {
        /// Process.
        pub pid: i32,
        /// User.
        pub uid: u32,
        /// Group.
        pub gid: u32,
    }
}

/// Bytes of `sun_path`.
pub const UNIX_PATH_MAX: usize = 108;

abi_struct! {
    /// `struct sockaddr_un`: unix(7).
    pub struct SockaddrUn {
        /// `AF_UNIX`.
        pub family: u16,
        /// A path, or a zero byte and an abstract name; how much of it counts is in the length.
        pub path: [u8; UNIX_PATH_MAX],
    }
}

abi_struct! {
    /// `struct sockaddr_in`: ip(7).
    pub struct SockaddrIn {
        /// `AF_INET`.
        pub family: u16,
        /// Port, most significant byte first.
        pub port: [u8; 2],
        /// Address.
        pub addr: [u8; 4],
        #[doc(hidden)]
        pub zero: [u8; 8],
    }
}

abi_struct! {
    /// `struct sockaddr_in6`: ipv6(7).
    pub struct SockaddrIn6 {
        /// `AF_INET6`.
        pub family: u16,
        /// Port, most significant byte first.
        pub port: [u8; 2],
        /// Flow label and class, in network order.
        pub flowinfo: [u8; 4],
        /// Address.
        pub addr: [u8; 16],
        /// Interface of a link-local address.
        pub scope_id: u32,
    }
}

abi_struct! {
    /// `struct sockaddr_nl`: netlink(7).
    pub struct SockaddrNl {
        /// `AF_NETLINK`.
        pub family: u16,
        #[doc(hidden)]
        pub pad: u16,
        /// Port id; zero is the kernel.
        pub pid: u32,
        /// Multicast groups.
        pub groups: u32,
    }
}

/// Bytes of `struct sockaddr_storage`, the most that an address has.
pub const SOCKADDR_STORAGE: usize = 128;

abi_struct! {
    /// `struct linger`: `SO_LINGER`.
    pub struct Linger {
        /// Whether close(2) waits.
        pub onoff: i32,
        /// Seconds.
        pub linger: i32,
    }
}

#[cfg(test)]
mod tests {
    use super::super::macros::same_layout;
    use super::*;

    same_layout!(msghdr: Msghdr = libc::msghdr {
        name = msg_name, namelen = msg_namelen, iov = msg_iov, iovlen = msg_iovlen,
        control = msg_control, controllen = msg_controllen, flags = msg_flags,
    });
    same_layout!(mmsghdr: Mmsghdr = libc::mmsghdr { hdr = msg_hdr, len = msg_len });
    same_layout!(cmsghdr: Cmsghdr = libc::cmsghdr { len = cmsg_len, level = cmsg_level, kind = cmsg_type });
    same_layout!(ucred: Ucred = libc::ucred { pid = pid, uid = uid, gid = gid });
    same_layout!(sockaddr_un: SockaddrUn = libc::sockaddr_un { family = sun_family, path = sun_path });
    same_layout!(sockaddr_in: SockaddrIn = libc::sockaddr_in {
        family = sin_family, port = sin_port, addr = sin_addr,
    });
    same_layout!(sockaddr_in6: SockaddrIn6 = libc::sockaddr_in6 {
        family = sin6_family, port = sin6_port, flowinfo = sin6_flowinfo, addr = sin6_addr,
        scope_id = sin6_scope_id,
    });
    same_layout!(sockaddr_nl: SockaddrNl = libc::sockaddr_nl {
        family = nl_family, pid = nl_pid, groups = nl_groups,
    });
    same_layout!(linger: Linger = libc::linger { onoff = l_onoff, linger = l_linger });

    #[test]
    fn control_messages_are_aligned() {
        assert_eq!(size_of::<libc::sockaddr_storage>(), SOCKADDR_STORAGE);
        assert_eq!(Cmsghdr::align(17), 24);
        assert_eq!(Cmsghdr::align(u64::MAX), !7);
    }
}
