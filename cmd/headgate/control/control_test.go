package control

import (
	"context"
	"errors"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// shortDir is a directory whose sockets' paths are short enough for the kernel.
func shortDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "hg")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

func serve(t *testing.T, paths []string) (stop func()) {
	t.Helper()
	l, err := Listen(paths)
	if err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /good", func(w http.ResponseWriter, _ *http.Request) { Answer(w, map[string]int{"n": 7}, nil) })
	mux.HandleFunc("POST /twice", func(w http.ResponseWriter, r *http.Request) {
		var n int
		err := Request(r, &n)
		Answer(w, 2*n, err)
	})
	mux.HandleFunc("POST /bad", func(w http.ResponseWriter, _ *http.Request) { Answer(w, nil, errors.New("it does not want to")) })
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := Serve(ctx, l, mux); err != nil {
			t.Error(err)
		}
	})
	stop = func() { cancel(); wg.Wait() }
	t.Cleanup(stop)
	return stop
}

func TestARequestIsAnsweredOrSaysWhyNot(t *testing.T) {
	path := filepath.Join(shortDir(t), socketName)
	serve(t, []string{path})
	c := New([]string{"/nonexistent/a.sock", path})
	var got struct{ N int }
	if err := c.Post(t.Context(), "/good", nil, &got); err != nil || got.N != 7 {
		t.Errorf("got %+v, %v", got, err)
	}
	var twice int
	if err := c.Post(t.Context(), "/twice", 21, &twice); err != nil || twice != 42 {
		t.Errorf("got %d, %v", twice, err)
	}
	if err := c.Post(t.Context(), "/twice", "x", &twice); err == nil || !strings.Contains(err.Error(), "same version") {
		t.Errorf("got %v", err)
	}
	if err := c.Post(t.Context(), "/bad", nil, &got); err == nil || err.Error() != "it does not want to" {
		t.Errorf("got %v", err)
	}
	if err := c.Post(t.Context(), "/none", nil, &got); err == nil || !strings.Contains(err.Error(), "404") {
		t.Errorf("got %v", err)
	}
	fi, err := os.Stat(path)
	if err != nil || fi.Mode().Perm() != socketMode {
		t.Errorf("mode %v, %v; want %o", fi.Mode(), err, socketMode)
	}
}

func TestWhereNoGatewayRunsTheErrorSaysSo(t *testing.T) {
	path := filepath.Join(shortDir(t), socketName)
	err := New([]string{path}).Post(t.Context(), "/good", nil, nil)
	if err == nil || !strings.Contains(err.Error(), "no gateway runs here") || !strings.Contains(err.Error(), path) {
		t.Errorf("got %v", err)
	}
}

func TestASocketOfAnotherGatewayIsLeftAloneAndAStaleOneIsReplaced(t *testing.T) {
	dir := shortDir(t)
	first, second := filepath.Join(dir, "a.sock"), filepath.Join(dir, "b.sock")
	stop := serve(t, []string{first})
	l, err := Listen([]string{first, second})
	if err != nil || l.Addr().String() != second {
		t.Fatalf("got %v, %v; want %s", l, err, second)
	}
	l.Close()
	stop()
	// As a kill leaves it: a socket that nobody has.
	left, err := net.ListenUnix("unix", &net.UnixAddr{Name: first})
	if err != nil {
		t.Fatal(err)
	}
	left.SetUnlinkOnClose(false)
	left.Close()
	serve(t, []string{first})
	if err := New([]string{first}).Post(t.Context(), "/good", nil, new(any)); err != nil {
		t.Error(err)
	}
}
