package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
)

// untilStopped gives a context that ends at SIGTERM or SIGINT. From then on a
// SIGTERM does nothing: timeout(1) sends two, and cutting the stop short is not
// what it means. A SIGINT, of a person who does not want to wait, ends the process
// at once. release is called when the context is not needed any more.
func untilStopped() (ctx context.Context, release func()) {
	ctx, cancel := context.WithCancel(context.Background())
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGTERM, os.Interrupt)
	done := make(chan struct{})
	go func() {
		defer close(done)
		select {
		case <-signals:
			signal.Reset(os.Interrupt)
			cancel()
		case <-ctx.Done():
		}
	}()
	return ctx, func() {
		cancel()
		<-done
		signal.Stop(signals)
	}
}
