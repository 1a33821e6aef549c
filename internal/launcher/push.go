// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package launcher

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"strings"

	"github.com/millrace-ml/millrace/internal/observe"
)

// State is where a sidecar keeps how far it read files, in a volume of its own.
const State = "/var/lib/millrace/collect.json"

// Pusher sends metrics to the manager.
type Pusher struct {
	// URL is of the trial's metrics. Token and CA are files; they are read each time, because the token is renewed.
	URL, Token, CA string
}

// ErrRefused is that metrics can never be taken.
var ErrRefused = errors.New("refused for good")

// final are the answers that do not change when the same is sent again.
var final = []int{http.StatusBadRequest, http.StatusRequestEntityTooLarge, http.StatusUnsupportedMediaType}

// Push sends samples of one source. The error repeats the manager's words.
func (p *Pusher) Push(ctx context.Context, source string, samples []observe.Sample) error {
	body, err := observe.Pack(samples)
	if err != nil {
		return fmt.Errorf("encoding metrics: %w", err)
	}
	token, err := os.ReadFile(p.Token)
	if err != nil {
		return fmt.Errorf("reading the token: %w", err)
	}
	client, err := p.client()
	if err != nil {
		return err
	}
	defer client.CloseIdleConnections()
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, p.URL, bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("building the request: %w", err)
	}
	request.Header.Set("Content-Type", observe.MediaType)
	request.Header.Set("Authorization", "Bearer "+strings.TrimSpace(string(token)))
	request.Header.Set(observe.SourceHeader, source)
	response, err := client.Do(request)
	if err != nil {
		return fmt.Errorf("pushing metrics: %w", err)
	}
	defer response.Body.Close()
	if response.StatusCode == http.StatusOK {
		return nil
	}
	said, err := io.ReadAll(io.LimitReader(response.Body, 1<<12))
	if err != nil {
		return fmt.Errorf("reading the manager's answer: %w", err)
	}
	err = fmt.Errorf("the manager answered %s: %s", response.Status, bytes.TrimSpace(said))
	if slices.Contains(final, response.StatusCode) {
		err = errors.Join(ErrRefused, err)
	}
	return err
}

func (p *Pusher) client() (*http.Client, error) {
	pem, err := os.ReadFile(p.CA)
	if err != nil {
		return nil, fmt.Errorf("reading the CA of the manager: %w", err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(pem) {
		return nil, errors.New("reading the CA of the manager: no certificate in " + p.CA)
	}
	return &http.Client{Timeout: answer, Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}}}, nil
}
