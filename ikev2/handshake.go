package ikev2

import (
	"crypto/sha256"

	"github.com/racoon3/racoon/dh"
	"github.com/racoon3/racoon/ikev2/message"
	"github.com/racoon3/racoon/spd"
)

// A handshake is what an IKE SA keeps between its first message and its
// establishment.
type handshake struct {
	ni, nr []byte

	// messageI and messageR are the IKE_SA_INIT messages as they were on the
	// wire; AUTH covers them.
	messageI, messageR []byte

	// Initiator.
	group    dh.ID
	private  dh.PrivateKey
	cookie   []byte
	restarts int
	refused  error // an unauthenticated refusal, believed only if nothing better comes

	// Responder.
	key         initKey
	fingerprint [sha256.Size]byte // of the request
	possible    []*Peer

	signatureHashes []uint16 // that the peer announces

	certRequests   [][20]byte // CAs that the peer trusts
	certRequested  bool
	initialContact bool
	childless      bool // the peer can do without a first Child SA

	child *childExchange   // the Child SA made along with the IKE SA
	plan  []*childExchange // all Child SAs that the initiator will make
}

func (hs *handshake) wipe() {
	if hs != nil && hs.private != nil {
		hs.private.Wipe()
		hs.private = nil
	}
}

// nonceLen is the size of our nonces: at least half the key size of every PRF
// (RFC 7296 2.10).
const nonceLen = 32

func (e *Endpoint) newNonce() ([]byte, error) {
	b := make([]byte, nonceLen)
	return b, e.Random(b)
}

// wireProposals gives proposals their wire form, numbered from 1 (RFC 7296
// 3.3.1).
func wireProposals(proposals []spd.Proposal, spi []byte) *message.SA {
	w := &struct {
		message.SA
		usual [1]message.Proposal
	}{}
	sa := &w.SA
	if sa.Proposals = w.usual[:]; len(proposals) != len(w.usual) {
		sa.Proposals = make([]message.Proposal, len(proposals))
	}
	n := 0
	for _, p := range proposals {
		n += len(p.Transforms)
	}
	all := make([]message.Transform, n)
	for i, p := range proposals {
		n := len(p.Transforms)
		sa.Proposals[i] = message.Proposal{Num: uint8(i + 1), Protocol: p.Protocol, SPI: spi, Transforms: wireTransforms(all[:n:n], p)}
		all = all[n:]
	}
	return sa
}

// wireChoice is the answer to proposal num of an offer.
func wireChoice(p spd.Proposal, num uint8, spi []byte) *message.SA {
	sa := wireProposals([]spd.Proposal{p}, spi)
	sa.Proposals[0].Num = num
	return sa
}

func wireTransforms(w []message.Transform, p spd.Proposal) []message.Transform {
	for i, t := range p.Transforms {
		w[i].Transform = t
	}
	return w
}

// offeredProposals takes the proposals out of an SA payload. A transform with
// an attribute that is not understood cannot be accepted (RFC 7296 3.3.6).
func offeredProposals(sa *message.SA) []spd.Proposal {
	proposals := make([]spd.Proposal, len(sa.Proposals))
	n := 0
	for _, w := range sa.Proposals {
		n += len(w.Transforms)
	}
	all := make([]spd.Transform, n)
	for i, w := range sa.Proposals {
		n := len(w.Transforms)
		p := spd.Proposal{Protocol: w.Protocol, Transforms: all[:n:n]}
		all = all[n:]
		for j, t := range w.Transforms {
			p.Transforms[j] = t.Transform
			if len(t.Attributes) > 0 {
				p.Transforms[j].ID = spd.TransformIDUnacceptable
			}
		}
		proposals[i] = p
	}
	return proposals
}
