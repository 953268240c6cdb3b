package bridge

import (
	"os"
	"path/filepath"
	"testing"

	"headgate/broker/packet"
)

// A password that was exchanged in its file is used at once: the connection before is
// ended in order, with nothing on its way.
func TestAnExchangedPasswordIsUsedWhenTheBridgeIsTold(t *testing.T) {
	t.Parallel()
	u, src := listenUpstream(t), newMemory(t)
	file := filepath.Join(t.TempDir(), "password")
	write := func(password string) {
		if err := os.WriteFile(file, []byte(password), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("first")
	cfg := config(u.addr)
	cfg.Credentials = Credentials{Username: "plant7", PasswordFile: file}
	b := start(t, cfg, src)
	c := u.welcome(nil)
	src.put("field/a", "1")
	p := c.expectPublish()
	write("second")
	b.Renew()
	c.send((&packet.Ack{Type: packet.PUBACK, PacketID: p.PacketID}).Append(nil, c.v))
	c.expect(packet.DISCONNECT)
	next := u.welcome(resumed)
	if got := string(c.connect.Password) + ", " + string(next.connect.Password); got != "first, second" {
		t.Errorf("the passwords were %s", got)
	}
	src.put("field/a", "2")
	if got := next.expectPublish(); string(got.Payload) != "2" {
		t.Errorf("after that came %q, want 2", got.Payload)
	}
	if s := b.Stats(); s.LastError != "" || s.Reconnects != 1 {
		t.Errorf("stats are %+v", s)
	}
}
