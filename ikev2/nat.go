package ikev2

import (
	"crypto/sha1"
	"net/netip"
	"slices"

	"github.com/racoon3/racoon/ike"
	"github.com/racoon3/racoon/ikev2/message"
	"github.com/racoon3/racoon/natt"
)

// appendNATNotifies appends the NAT detection notifies of RFC 7296 2.23. With
// ForceEncap the source hash is of an address that nobody has, so that the peer
// sees a NAT too.
func (sa *ikeSA) appendNATNotifies(to message.Payloads, p *Peer) message.Payloads {
	if p != nil && p.NoNATT {
		return to
	}
	b := sa.spis()
	spii, spir := be64(b[:8]), be64(b[8:])
	source := sa.s.Path.Local
	if p != nil && p.ForceEncap {
		source = netip.AddrPortFrom(netip.AddrFrom4([4]byte{}), 0)
	}
	var both struct { // in one piece
		hashes              [2 * sha1.Size]byte
		source, destination message.Notify
	}
	n := &both
	n.source = message.Notify{Type: message.NotifyNATDetectionSourceIP,
		Data: natt.AppendHash(n.hashes[:0:sha1.Size], natt.SHA1, spii, spir, source)}
	n.destination = message.Notify{Type: message.NotifyNATDetectionDestinationIP,
		Data: natt.AppendHash(n.hashes[sha1.Size:sha1.Size], natt.SHA1, spii, spir, sa.s.Path.Remote)}
	return append(to, &n.source, &n.destination)
}

// peerAnnounces takes what an IKE_SA_INIT message tells besides its
// negotiation: NAT detection, fragmentation, signature hashes, CERTREQs.
func (sa *ikeSA) peerAnnounces(path ike.Path, m *message.Message) {
	s := sa.s
	d := natt.NewDetector(natt.SHA1, uint64(m.Header.SPIi), uint64(m.Header.SPIr), path.Local, path.Remote)
	for n := range m.Notifies() {
		switch n.Type {
		case message.NotifyNATDetectionSourceIP:
			d.Source(n.Data)
		case message.NotifyNATDetectionDestinationIP:
			d.Destination(n.Data)
		case message.NotifyIKEv2FragmentationSupported:
			s.fragmentation = s.peer == nil || s.peer.FragmentSize >= 0
		case message.NotifySignatureHashAlgorithms:
			sa.hs.signatureHashes = make([]uint16, 0, min(len(n.Data)/2, 32))
			for i := 0; i+1 < len(n.Data) && i < 64; i += 2 {
				sa.hs.signatureHashes = append(sa.hs.signatureHashes, uint16(n.Data[i])<<8|uint16(n.Data[i+1]))
			}
		case message.NotifyChildlessIKEv2Supported:
			sa.hs.childless = true
		}
	}
	sa.noteCertRequests(m)
	if s.peer != nil && s.peer.NoNATT {
		return
	}
	r := d.Result()
	s.NATLocal, s.NATRemote = r.LocalNAT, r.RemoteNAT
}

// signatureHashNotify announces them (RFC 7427 4).
var signatureHashNotify = func() *message.Notify {
	n := &message.Notify{Type: message.NotifySignatureHashAlgorithms}
	for _, h := range announcedHashes {
		n.Data = append(n.Data, byte(h>>8), byte(h))
	}
	return n
}()

// fragmentationNotify announces RFC 7383.
var fragmentationNotify = &message.Notify{Type: message.NotifyIKEv2FragmentationSupported}

// announcedHashes are the hash functions that we accept in signatures.
var announcedHashes = []uint16{
	uint16(message.HashSHA256), uint16(message.HashSHA384), uint16(message.HashSHA512), uint16(message.HashIdentity),
}

func be64(b []byte) (v uint64) {
	for _, o := range b {
		v = v<<8 | uint64(o)
	}
	return v
}

// noteCertRequests keeps the CAs that the peer trusts, a bounded number.
func (sa *ikeSA) noteCertRequests(m *message.Message) {
	const most = 256
	for c := range m.CERTREQs() {
		if c.Encoding != message.CertX509Signature {
			continue
		}
		sa.hs.certRequested = true
		for h := range c.Hashes() {
			if len(sa.hs.certRequests) >= most {
				return
			}
			if !slices.Contains(sa.hs.certRequests, h) {
				sa.hs.certRequests = append(sa.hs.certRequests, h)
			}
		}
	}
}
