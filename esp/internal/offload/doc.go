// Package offload does in user space what network interfaces do to spare hosts
// the work on each single packet: it cuts large TCP and UDP packets into
// segments, puts TCP segments that follow each other together, and completes
// checksums. Packets are IPv4 or IPv6, beginning with the IP header.
package offload
