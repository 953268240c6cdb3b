// Package control is the way into a running gateway for the tools that work
// beside it: HTTP on a unix socket, which the user and group that the gateway
// runs as may use. It owns the socket and its place; what the requests mean is
// the handler's, which cmd/headgate makes.
package control

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

const (
	runDir     = "/run/headgate"
	socketName = "control.sock"
	socketMode = 0o660

	requestTimeout = 30 * time.Second
	maxAnswer      = 16 << 20 // bytes
)

// Paths gives where the socket of a gateway may be, by preference: in
// /run/headgate, which the package's service has, or in the data directory.
func Paths(dataDir string) []string {
	return []string{filepath.Join(runDir, socketName), filepath.Join(dataDir, socketName)}
}

// Listen binds the first path that can be: one whose directory is there, and
// where no other gateway answers.
func Listen(paths []string) (net.Listener, error) {
	var errs []error
	for _, path := range paths {
		l, err := listen(path)
		if err == nil {
			return l, nil
		}
		errs = append(errs, err)
	}
	return nil, fmt.Errorf("control socket: %w", errors.Join(errs...))
}

func listen(path string) (net.Listener, error) {
	if nc, err := net.DialTimeout("unix", path, time.Second); err == nil {
		nc.Close()
		return nil, fmt.Errorf("%s: another gateway answers there", path)
	}
	// What nobody answers on was left by one that was killed.
	if fi, err := os.Lstat(path); err == nil && fi.Mode()&fs.ModeSocket != 0 {
		if err := os.Remove(path); err != nil {
			return nil, err
		}
	}
	l, err := net.Listen("unix", path)
	if err != nil {
		return nil, err
	}
	if err := os.Chmod(path, socketMode); err != nil {
		l.Close()
		return nil, err
	}
	return l, nil
}

// Serve answers requests until ctx ends.
func Serve(ctx context.Context, l net.Listener, h http.Handler) error {
	srv := &http.Server{Handler: h, ReadHeaderTimeout: 5 * time.Second, IdleTimeout: time.Minute, MaxHeaderBytes: 16 << 10}
	ended := make(chan error, 1)
	go func() { ended <- srv.Serve(l) }()
	select {
	case err := <-ended:
		return err
	case <-ctx.Done():
	}
	last, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	if err := srv.Shutdown(last); err != nil {
		srv.Close()
	}
	<-ended
	return nil
}

// Fault is the answer to a request that came to nothing.
type Fault struct {
	Text string `json:"error"`
}

// Answer writes v, or err as a Fault.
func Answer(w http.ResponseWriter, v any, err error) {
	w.Header().Set("Content-Type", "application/json")
	if err != nil {
		w.WriteHeader(http.StatusUnprocessableEntity)
		v = Fault{err.Error()}
	}
	json.NewEncoder(w).Encode(v)
}

// maxRequest bounds the body of a request.
const maxRequest = 1 << 20

// Request reads the body of a request into v.
func Request(r *http.Request, v any) error {
	d := json.NewDecoder(io.LimitReader(r.Body, maxRequest))
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		return fmt.Errorf("read the request: %w: is the tool of the same version as the gateway?", err)
	}
	return nil
}

// ErrNoGateway is that nothing answers on any of the paths.
var ErrNoGateway = errors.New("no gateway runs here")

// Client asks a running gateway.
type Client struct{ paths []string }

// New makes a client for the gateway whose socket is at one of paths. It dials
// nothing.
func New(paths []string) *Client { return &Client{paths} }

// Get asks for something and decodes the answer into v. The error is ErrNoGateway
// where none runs.
func (c *Client) Get(ctx context.Context, path string, v any) error {
	return c.do(ctx, http.MethodGet, path, nil, v)
}

// Post sends a request with body as JSON, nil for none, and decodes the answer
// into v. The error is ErrNoGateway where none runs.
func (c *Client) Post(ctx context.Context, path string, body, v any) error {
	return c.do(ctx, http.MethodPost, path, body, v)
}

func (c *Client) do(ctx context.Context, method, path string, body, v any) error {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	var text bytes.Buffer
	if body != nil {
		if err := json.NewEncoder(&text).Encode(body); err != nil {
			return err
		}
	}
	return c.ask(ctx, method, path, &text, func(answer io.Reader) error {
		b, err := io.ReadAll(io.LimitReader(answer, maxAnswer))
		if err != nil {
			return fmt.Errorf("read the gateway's answer: %w", err)
		}
		return json.Unmarshal(b, v)
	})
}

// Stream asks for something and copies the answer to w, however long that takes.
func (c *Client) Stream(ctx context.Context, path string, w io.Writer) error {
	return c.ask(ctx, http.MethodGet, path, nil, func(answer io.Reader) error {
		_, err := io.Copy(w, answer)
		if errors.Is(err, io.ErrUnexpectedEOF) {
			return fmt.Errorf("the gateway ended its answer early: %w", err)
		}
		return err
	})
}

// ask sends a request and gives the body of a good answer to take.
func (c *Client) ask(ctx context.Context, method, path string, body io.Reader, take func(answer io.Reader) error) error {
	req, err := http.NewRequestWithContext(ctx, method, "http://headgate"+path, body)
	if err != nil {
		return err
	}
	tr := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) { return c.dial(ctx) }}
	defer tr.CloseIdleConnections()
	resp, err := tr.RoundTrip(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode == http.StatusOK {
		return take(resp.Body)
	}
	answer, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return fmt.Errorf("read the gateway's answer: %w", err)
	}
	var f Fault
	if json.Unmarshal(answer, &f) == nil && f.Text != "" {
		return errors.New(f.Text)
	}
	return fmt.Errorf("the gateway answers %s to %s: %s", resp.Status, path, bytes.TrimSpace(answer))
}

// dial finds the gateway that answers.
func (c *Client) dial(ctx context.Context) (net.Conn, error) {
	var d net.Dialer
	for _, path := range c.paths {
		nc, err := d.DialContext(ctx, "unix", path)
		switch {
		case err == nil:
			return nc, nil
		case errors.Is(err, fs.ErrPermission):
			return nil, fmt.Errorf("%s: permission denied: be root, or of the group that the gateway runs as", path)
		case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ECONNREFUSED):
		default:
			return nil, err
		}
	}
	hint := "start it with headgate run, or systemctl start headgate"
	if slices.ContainsFunc(c.paths, func(path string) bool { return !filepath.IsAbs(path) }) {
		hint += "; its data_dir is relative: ask from the directory that it was started in"
	}
	return nil, fmt.Errorf("%w: nothing answers on %s: %s", ErrNoGateway, strings.Join(c.paths, " or "), hint)
}
