package web

import (
	"fmt"
	"net/http"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// Family is one metric with its series, by the rules of Prometheus: its name has a
// base unit, and ends in _total if it is a counter.
type Family struct {
	Name    string
	Help    string
	Counter bool
	Labels  []string
	Series  []Series
}

// Series is one value of a Family, with a text for each of its labels.
type Series struct {
	Value  float64
	Labels []string
}

// collector reads the source's figures when somebody asks for them.
type collector struct{ read func() []Family }

// Describe says nothing beforehand: what there is follows from the configuration.
func (c collector) Describe(chan<- *prometheus.Desc) {}

// Collect reads them.
func (c collector) Collect(out chan<- prometheus.Metric) {
	for _, f := range c.read() {
		desc := prometheus.NewDesc(f.Name, f.Help, f.Labels, nil)
		kind := prometheus.GaugeValue
		if f.Counter {
			kind = prometheus.CounterValue
		}
		for _, s := range f.Series {
			m, err := prometheus.NewConstMetric(desc, kind, s.Value, s.Labels...)
			if err != nil {
				m = prometheus.NewInvalidMetric(desc, err)
			}
			out <- m
		}
	}
}

// metricsHandler serves /metrics from a registry of its own: the source's figures,
// and those of Go and the process.
func (s *Server) metricsHandler() (http.Handler, error) {
	registry := prometheus.NewRegistry()
	for _, c := range []prometheus.Collector{
		collector{s.src.Metrics},
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
	} {
		if err := registry.Register(c); err != nil {
			return nil, fmt.Errorf("metrics: %w", err)
		}
	}
	return promhttp.HandlerFor(registry, promhttp.HandlerOpts{MaxRequestsInFlight: 4, ErrorHandling: promhttp.ContinueOnError}), nil
}
