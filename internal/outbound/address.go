package outbound

import "net/netip"

// special are the ranges of the IANA special-purpose registries that lie inside what is
// otherwise global unicast space, each with the words of a refusal.
func special() []struct{ prefix, why string } {
	return []struct{ prefix, why string }{
		{"0.0.0.0/8", "unspecified"},
		{"10.0.0.0/8", "private"},
		{"100.64.0.0/10", "shared carrier space (CGNAT)"},
		{"127.0.0.0/8", "loopback"},
		{"169.254.0.0/16", "link-local"},
		{"172.16.0.0/12", "private"},
		{"192.0.0.0/24", "reserved"},
		{"192.0.2.0/24", "documentation space"},
		{"192.88.99.0/24", "a 6to4 relay"},
		{"192.168.0.0/16", "private"},
		{"198.18.0.0/15", "benchmarking space"},
		{"198.51.100.0/24", "documentation space"},
		{"203.0.113.0/24", "documentation space"},
		{"224.0.0.0/4", "multicast"},
		{"240.0.0.0/4", "reserved"},

		{"2001::/23", "reserved (Teredo and others carry IPv4 addresses)"},
		{"2001:db8::/32", "documentation space"},
		{"2002::/16", "6to4, which carries an IPv4 address"},
		{"3fff::/20", "documentation space"},
	}
}

// Forbidden says in a few words why ip is not to be reached, and "" if it may be. IPv6 is
// allowed in 2000::/3 alone, so that loopback, link-local, unique-local, multicast,
// mapped and NAT64 (64:ff9b::/96) addresses need no list of their own.
func Forbidden(ip netip.Addr) string {
	switch {
	case !ip.IsValid():
		return "no address"
	case ip.Is4In6():
		return "an IPv4 address mapped into IPv6"
	case ip.Zone() != "":
		return "bound to an interface"
	case ip.IsUnspecified():
		return "unspecified"
	case ip.IsLoopback():
		return "loopback"
	case ip.IsMulticast():
		return "multicast"
	case ip.IsLinkLocalUnicast():
		return "link-local"
	case ip.IsPrivate():
		return "private"
	}
	for _, s := range special() {
		if netip.MustParsePrefix(s.prefix).Contains(ip) {
			return s.why
		}
	}
	if ip.Is6() && !netip.MustParsePrefix("2000::/3").Contains(ip) {
		return "outside the public part of IPv6"
	}
	return ""
}
