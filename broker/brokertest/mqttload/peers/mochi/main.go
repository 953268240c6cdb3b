// Command mochi runs the mochi-mqtt broker on one loopback port, with or
// without its badger storage hook, as a measured peer. It is a module of its own
// so that what mochi needs stays out of the product's go.mod.
package main

import (
	"flag"
	"io"
	"log"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	badgerdb "github.com/dgraph-io/badger/v4"
	mqtt "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/hooks/auth"
	"github.com/mochi-mqtt/server/v2/hooks/storage/badger"
	"github.com/mochi-mqtt/server/v2/listeners"
)

func main() {
	addr := flag.String("addr", "127.0.0.1:1883", "listen address")
	dir := flag.String("badger", "", "badger directory; empty: no persistence")
	inflight := flag.Uint("inflight", 0, "MaximumInflight; 0: the default")
	sync := flag.Bool("sync", false, "badger SyncWrites")
	flag.Parse()

	opts := &mqtt.Options{Logger: slog.New(slog.NewTextHandler(io.Discard, nil))}
	if *inflight > 0 {
		opts.Capabilities = mqtt.NewDefaultServerCapabilities()
		opts.Capabilities.MaximumInflight = uint16(*inflight)
	}
	s := mqtt.New(opts)
	if err := s.AddHook(new(auth.AllowHook), nil); err != nil {
		log.Fatal(err)
	}
	if *dir != "" {
		bo := badgerdb.DefaultOptions(*dir).WithSyncWrites(*sync)
		if err := s.AddHook(new(badger.Hook), &badger.Options{Path: *dir, Options: &bo}); err != nil {
			log.Fatal(err)
		}
	}
	if err := s.AddListener(listeners.NewTCP(listeners.Config{ID: "t1", Address: *addr})); err != nil {
		log.Fatal(err)
	}
	if err := s.Serve(); err != nil {
		log.Fatal(err)
	}
	sig := make(chan os.Signal, 1)
	signal.Notify(sig, syscall.SIGINT, syscall.SIGTERM)
	<-sig
	_ = s.Close()
}
