package bridge

import (
	"bufio"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
)

// maxProxyAnswer bounds what a proxy may say before the tunnel is open, in bytes.
const maxProxyAnswer = 16 << 10

// proxy is an HTTP proxy that opens tunnels.
type proxy struct {
	address string // host:port
	user    *url.Userinfo
}

// parseProxy reads http://[user:password@]host:port.
func parseProxy(s string) (*proxy, error) {
	const want = "want http://host:port or http://user:password@host:port"
	u, err := url.Parse(s)
	if err != nil {
		return nil, errors.New("not a url: " + want) // the parser's error repeats the password
	}
	switch {
	case u.Scheme != "http", u.Hostname() == "", u.Path != "" && u.Path != "/", u.RawQuery != "", u.Fragment != "":
		return nil, fmt.Errorf("%q: %s", u.Redacted(), want)
	}
	if n, err := net.LookupPort("tcp", u.Port()); err != nil || n == 0 {
		return nil, fmt.Errorf("%q: the port is missing: %s", u.Redacted(), want)
	}
	return &proxy{address: u.Host, user: u.User}, nil
}

// tunnel asks the proxy, to which conn leads, for a way to address, which the
// proxy looks up. [RFC 9110 9.3.6]
func (p *proxy) tunnel(conn net.Conn, address string) error {
	request := "CONNECT " + address + " HTTP/1.1\r\nHost: " + address + "\r\n"
	if p.user != nil {
		password, _ := p.user.Password()
		word := base64.StdEncoding.EncodeToString([]byte(p.user.Username() + ":" + password))
		request += "Proxy-Authorization: Basic " + word + "\r\n"
	}
	if _, err := conn.Write([]byte(request + "\r\n")); err != nil {
		return fmt.Errorf("write CONNECT: %w", cause(err))
	}
	in := bufio.NewReader(io.LimitReader(conn, maxProxyAnswer))
	answer, err := http.ReadResponse(in, &http.Request{Method: http.MethodConnect})
	switch {
	case err != nil:
		return fmt.Errorf("read the answer to CONNECT: %w", cause(err))
	case answer.StatusCode/100 != 2:
		return fmt.Errorf("answers %s", answer.Status)
	case in.Buffered() > 0: // whoever is behind it waits for us to begin
		return errors.New("sends more than its answer to CONNECT")
	}
	return nil
}
