// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package collect

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/millrace-ml/millrace/internal/observe"
	"github.com/millrace-ml/millrace/internal/observe/prom"
)

const (
	// scrapeTimeout is the longest an endpoint may take.
	scrapeTimeout = 10 * time.Second
	// scrapeSize is how much of an answer is read, in bytes.
	scrapeSize = 4 << 20
)

// scraping is a client that goes where it is told and nowhere else: a pod must not make the manager ask somebody for it.
func scraping() *http.Client {
	return &http.Client{
		Timeout:       scrapeTimeout,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport:     &http.Transport{Proxy: nil, MaxIdleConnsPerHost: 1, IdleConnTimeout: time.Minute},
	}
}

// scrape asks an endpoint again and again, until its container has ended.
func (c *Collector) scrape(ctx context.Context, w *worker) bool {
	number := observe.Sequencer{}
	for {
		target := w.target()
		if target.Ended {
			return c.sink.flush(ctx)
		}
		samples, err := c.ask(ctx, target)
		if ctx.Err() != nil {
			return false
		}
		if err != nil {
			c.fault(target.Trial, err.Error())
		}
		number.Number(samples)
		if len(samples) > 0 && !c.sink.put(ctx, item{series: target.series(), samples: samples, read: samples[0].At}) {
			return false
		}
		if !c.pause(ctx, max(target.Interval, time.Second), w.news) {
			return false
		}
	}
}

// ask makes one request to an endpoint.
func (c *Collector) ask(ctx context.Context, t Target) ([]observe.Sample, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, t.URL, http.NoBody)
	if err != nil {
		return nil, fmt.Errorf("the address of the metrics endpoint: %w", err)
	}
	request.Header.Set("Accept", "text/plain;version=0.0.4")
	at := c.clock.Now()
	response, err := c.http.Do(request)
	if err != nil {
		return nil, fmt.Errorf("asking the metrics endpoint: %w", err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("the metrics endpoint %s answers %s", t.URL, response.Status)
	}
	samples, faults, err := prom.Scrape(io.LimitReader(response.Body, scrapeSize), t.Metrics, at)
	for _, f := range faults {
		c.fault(t.Trial, string(f))
	}
	return samples, err
}
