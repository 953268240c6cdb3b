package web

import (
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"
)

func scrape(b *testing.B, f *fakeGateway) {
	lines := NewLog(slog.NewTextHandler(io.Discard, nil))
	cfg := Config{}
	cfg.SetDefaults()
	s, err := New(cfg, f, lines, slog.New(lines))
	if err != nil {
		b.Fatal(err)
	}
	r := httptest.NewRequest("GET", "http://localhost/metrics", nil)
	r.Host = "localhost"
	for b.Loop() {
		w := httptest.NewRecorder()
		s.answers.ServeHTTP(w, r)
		if w.Code != http.StatusOK {
			b.Fatal(w.Code, w.Body.String())
		}
	}
}
