// Package vpn is what the programs vpnclient and vpngateway have in common: a
// TUN device with userspace ESP and a Manager behind it, and their flags.
package vpn
