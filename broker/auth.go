package broker

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"

	"headgate/broker/auth"
	"headgate/broker/packet"
)

// enhanced is a connection's enhanced authentication. [MQTT 4.12] The reader
// owns it.
type enhanced struct {
	method string      // of the CONNECT; "": none
	scram  *auth.Scram // under way; nil: none
	data   []byte      // for the client, with the CONNACK
}

// authenticate lets the client of a CONNECT in, or says why not.
func (c *conn) authenticate(ctx context.Context, r *reader, p *packet.Connect) error {
	var addr netip.Addr
	if !c.entry.local { // all programs of this machine have one address
		addr = addrOf(c.nc.RemoteAddr())
	}
	if wait := c.b.limiter.Blocked(addr, time.Now()); wait > 0 {
		c.b.stats.refusedAuth.Add(1)
		return &packet.Error{Reason: packet.ConnectionRateExceeded,
			Text: fmt.Sprintf("CONNECT: too many wrong passwords from this address: %v to wait", wait.Round(time.Second))}
	}
	user, err := c.identify(ctx, r, p)
	if err != nil {
		c.b.stats.refusedAuth.Add(1)
		if errors.Is(err, auth.ErrBadCredentials) {
			c.b.limiter.Failed(addr, time.Now())
		}
		return authError("CONNECT", err)
	}
	if user != "" {
		c.b.limiter.Succeeded(addr)
	}
	c.user = user
	return nil
}

// identify gives the user whose rights the client has.
func (c *conn) identify(ctx context.Context, r *reader, p *packet.Connect) (user string, err error) {
	policy := c.b.live.Load().policy
	switch {
	case p.Properties.Has(packet.PropAuthMethod):
		return c.authenticateEnhanced(r, policy, p)
	case c.entry.named: // its certificate says who it is
		return c.entry.username, nil
	case !p.HasUsername:
		return policy.Authenticate(ctx, auth.Login{}, c.entry.nameless)
	}
	ctx, cancel := context.WithTimeout(ctx, c.limits.ConnectTimeout)
	defer cancel()
	return policy.Authenticate(ctx, auth.Login{Named: true, Username: string(p.Username), Password: p.Password}, c.entry.nameless)
}

// authError gives an error of package auth its reason code.
func authError(what string, err error) error {
	reason := packet.NotAuthorized
	switch {
	case errors.As(err, new(*packet.Error)):
		return err
	case errors.Is(err, auth.ErrBadCredentials):
		reason = packet.BadUserNameOrPassword
	case errors.Is(err, auth.ErrBusy):
		reason = packet.ServerBusy
	case errors.Is(err, auth.ErrScramMessage):
		reason = packet.ProtocolError
	case errors.Is(err, auth.ErrAnonymous):
	default:
		return err // the connection's own end
	}
	return &packet.Error{Reason: reason, Text: what + ": " + err.Error()}
}

// authenticateEnhanced exchanges AUTH packets until the client has shown who it
// is. [MQTT-4.12.0-2] [MQTT-4.12.0-3]
func (c *conn) authenticateEnhanced(r *reader, policy *auth.Policy, p *packet.Connect) (user string, err error) {
	c.enhanced.method = string(p.Properties.AuthMethod)
	if c.enhanced.method != auth.ScramMethod {
		return "", &packet.Error{Reason: packet.BadAuthenticationMethod, Clause: "MQTT-4.12.0-1",
			Text: fmt.Sprintf("CONNECT: authentication method %.100q: only %s is known", c.enhanced.method, auth.ScramMethod)}
	}
	scram := policy.Scram()
	challenge, err := scram.Start(p.Properties.AuthData)
	if err != nil {
		return "", err
	}
	c.nc.SetWriteDeadline(time.Now().Add(c.limits.ConnectTimeout))
	if _, err := c.nc.Write(c.authPacket(packet.ContinueAuthentication, challenge)); err != nil {
		return "", fmt.Errorf("send AUTH: %w", err)
	}
	h, body, err := r.packet()
	if err != nil {
		return "", fmt.Errorf("no AUTH came: %w", err)
	}
	if h.Type != packet.AUTH { // [MQTT-3.1.2-30]
		return "", &packet.Error{Reason: packet.ProtocolError, Clause: "MQTT-3.1.2-30", Text: fmt.Sprintf("%v where AUTH should continue", h.Type)}
	}
	answer, err := c.decodeAuth(body, packet.ContinueAuthentication)
	if err != nil {
		return "", err
	}
	c.enhanced.data, user, err = scram.Finish(answer)
	return user, err
}

// decodeAuth reads an AUTH and gives its data. [MQTT-3.15.2-1] [MQTT-4.12.0-5]
func (c *conn) decodeAuth(body []byte, want packet.ReasonCode) ([]byte, error) {
	var a packet.Auth
	if err := a.Decode(c.version, body); err != nil {
		return nil, err
	}
	if a.Reason != want {
		return nil, &packet.Error{Reason: packet.ProtocolError, Clause: "MQTT-3.15.2-1", Text: fmt.Sprintf("AUTH: %v where %v was due", a.Reason, want)}
	}
	if string(a.Properties.AuthMethod) != c.enhanced.method {
		return nil, &packet.Error{Reason: packet.ProtocolError, Clause: "MQTT-4.12.0-5",
			Text: fmt.Sprintf("AUTH: authentication method %.100q: the CONNECT had %.100q", a.Properties.AuthMethod, c.enhanced.method)}
	}
	return a.Properties.AuthData, nil
}

func (c *conn) authPacket(reason packet.ReasonCode, data []byte) []byte {
	a := packet.Auth{Reason: reason}
	setAuth(&a.Properties, c.enhanced.method, data)
	return a.Append(nil, c.version)
}

func setAuth(p *packet.Properties, method string, data []byte) {
	p.AuthMethod = []byte(method)
	p.Set(packet.PropAuthMethod)
	if data != nil {
		p.AuthData = data
		p.Set(packet.PropAuthData)
	}
}

// handleAuth takes an AUTH from a connected client: it authenticates again, as
// the same user. [MQTT 4.12.1]
func (c *conn) handleAuth(body []byte) error {
	if c.enhanced.method == "" {
		return &packet.Error{Reason: packet.ProtocolError, Clause: "MQTT-4.12.0-6", Text: "AUTH: the CONNECT named no authentication method"}
	}
	if c.enhanced.scram == nil {
		data, err := c.decodeAuth(body, packet.ReAuthenticate) // [MQTT-4.12.1-1]
		if err != nil {
			return err
		}
		scram := c.b.live.Load().policy.Scram()
		challenge, err := scram.Start(data)
		if err != nil {
			return reAuthError(err)
		}
		c.enhanced.scram = scram
		c.put(c.authPacket(packet.ContinueAuthentication, challenge))
		return nil
	}
	scram := c.enhanced.scram
	c.enhanced.scram = nil
	data, err := c.decodeAuth(body, packet.ContinueAuthentication)
	if err != nil {
		return err
	}
	final, user, err := scram.Finish(data)
	if err != nil {
		return reAuthError(err)
	}
	if user != c.user {
		return &packet.Error{Reason: packet.NotAuthorized, Clause: "MQTT-4.12.1-2", Text: fmt.Sprintf("AUTH: user %.100q: the connection is of %.100q", user, c.user)}
	}
	c.put(c.authPacket(packet.Success, final))
	return nil
}

// reAuthError is authError for a connected client: a DISCONNECT has no reason
// code for a wrong password. [MQTT-4.12.1-2]
func reAuthError(err error) error {
	err = authError("AUTH", err)
	var pe *packet.Error
	if errors.As(err, &pe) && pe.Reason == packet.BadUserNameOrPassword {
		pe.Reason = packet.NotAuthorized
	}
	return err
}

// put adds a packet to what is to be written.
func (c *conn) put(b []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.last {
		c.out.write(b)
		c.sent.packets++
	}
}

// addrOf gives the address of the other end; invalid for one without, as behind
// a unix socket.
func addrOf(a net.Addr) netip.Addr {
	if t, ok := a.(*net.TCPAddr); ok {
		return t.AddrPort().Addr().Unmap()
	}
	return netip.Addr{}
}
