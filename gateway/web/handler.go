package web

import (
	"crypto/sha256"
	"embed"
	"encoding/base64"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"strings"
	"time"
)

// What the page consists of; none of it is fetched from elsewhere.
//
//go:embed page
var pageFiles embed.FS

// policy is the Content-Security-Policy: nothing but what this server sends, no
// script or style within the page, in nobody's frame.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; manifest-src 'self'; " +
	"base-uri 'none'; form-action 'self'; frame-ancestors 'none'"

// handler is all that the port serves.
func (s *Server) handler() (http.Handler, error) {
	metrics, err := s.metricsHandler()
	if err != nil {
		return nil, err
	}
	page, err := fs.Sub(pageFiles, "page")
	if err != nil {
		return nil, err
	}
	s.open = []Route{
		{"GET /healthz", func(w http.ResponseWriter, _ *http.Request) { w.Write([]byte("ok\n")) }},
		{"GET /readyz", s.serveReady},
		{"GET /metrics", s.access.guard(metrics, true).ServeHTTP},
		{"POST /api/v1/login", s.access.serveLogin},
		{"POST /api/v1/logout", s.access.serveLogout},
		{"GET /api/v1/me", s.access.serveMe},
	}
	parts, err := files(page)
	if err != nil {
		return nil, err
	}
	mux := http.NewServeMux()
	for _, r := range s.open {
		mux.HandleFunc(r.Pattern, r.Handle)
	}
	mux.Handle("/api/v1/", s.access.guard(s.API(), false))
	mux.Handle("/", parts)
	return s.hostile(http.NewCrossOriginProtection().Handler(mux)), nil
}

// files serves the parts of the page, which change with the program alone: a browser
// that has one of them asks only whether it is still the same.
func files(page fs.FS) (http.Handler, error) {
	tags := map[string]string{}
	err := fs.WalkDir(page, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		text, err := fs.ReadFile(page, name)
		sum := sha256.Sum256(text)
		tags["/"+name] = fmt.Sprintf("%q", base64.RawURLEncoding.EncodeToString(sum[:12]))
		return err
	})
	if err != nil {
		return nil, err
	}
	tags["/"] = tags["/index.html"]
	serve := http.FileServerFS(page)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "no-cache")
		if tag := tags[r.URL.Path]; tag != "" {
			w.Header().Set("ETag", tag)
		}
		serve.ServeHTTP(w, r)
	}), nil
}

// hostile keeps other pages in the same browser off: what they may not read, frame
// or send. Where nobody has to log in, a name that is no loopback address is one
// that somebody else's name server has pointed here.
func (s *Server) hostile(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		header := w.Header()
		header.Set("Content-Security-Policy", policy)
		header.Set("X-Content-Type-Options", "nosniff")
		header.Set("Referrer-Policy", "no-referrer")
		header.Set("Cross-Origin-Opener-Policy", "same-origin")
		header.Set("Cross-Origin-Resource-Policy", "same-origin")
		if s.access.now.Load().open && !isLoopback(hostOf(r.Host)) {
			refuse(w, http.StatusMisdirectedRequest, "as long as no [[web.user]] is configured, this page is at localhost alone")
			return
		}
		if strings.HasPrefix(r.URL.Path, "/api/") {
			header.Set("Cache-Control", "no-store")
		}
		h.ServeHTTP(w, r)
	})
}

func hostOf(hostport string) string {
	if host, _, err := net.SplitHostPort(hostport); err == nil {
		return host
	}
	return strings.Trim(hostport, "[]")
}

// serveReady answers 200 while everything works, else 503 and why not, a line each.
func (s *Server) serveReady(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	reasons := s.src.Unready()
	if len(reasons) == 0 {
		w.Write([]byte("ready\n"))
		return
	}
	w.WriteHeader(http.StatusServiceUnavailable)
	w.Write([]byte(strings.Join(reasons, "\n") + "\n"))
}

// writeTime is how long a viewer may take for one event.
const writeTime = 10 * time.Second
