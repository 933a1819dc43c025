// Package pump moves packets between a TUN device and the outer network
// through an [esp.Engine]: what key management and the engine need to become
// a VPN.
//
//	dev, err := tun.CreateTUN("tun0", mtu)
//	engine := esp.New(esp.Config{})
//	p, err := pump.New(pump.Config{Engine: engine, TUN: dev})
//	m, err := racoon.NewManager(racoon.Config{DataPlane: engine, PacketHandler: p, Peers: peers})
//	p.SetWriter(m)
//	err = m.Serve(ctx)
//	err = p.Close()
//
// The sockets are the Manager's, which shares them with IKE. Without one, such
// as with keys set by hand, [ListenUDP] makes a socket for ESP in UDP alone;
// [ListenRaw] takes and sends ESP as IP protocol 50, beside either; key
// management negotiates it only if esp.Config.RawESP says that it is there.
//
// Packets move in batches and without allocation: on Linux the device gives
// and takes large TCP packets, which are cut and put together here, and
// sockets send and receive many datagrams of one size as one (UDP GSO and GRO).
//
// Addresses and routes of the device, and that outer packets escape a tunnel
// for all addresses (SO_MARK, a host route), are the program's affair. [InnerMTU]
// says how large the device's packets may be.
package pump
