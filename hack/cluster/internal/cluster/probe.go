// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/millrace-ml/millrace/hack/cluster/internal/pki"
)

// probe says why a component is not ready yet, or nothing.
type probe func(context.Context, *http.Client) error

// httpProbe is ready when a GET answers 200.
func httpProbe(url string) probe {
	return func(ctx context.Context, client *http.Client) error {
		_, err := get(ctx, client, url)
		return err
	}
}

// socketProbe is ready when a unix socket accepts.
func socketProbe(path string) probe {
	return func(ctx context.Context, _ *http.Client) error {
		connection, err := (&net.Dialer{}).DialContext(ctx, "unix", path)
		if err != nil {
			return err
		}
		return connection.Close()
	}
}

// newClient returns a client that trusts the cluster's authority and is its administrator.
func newClient(pkiDir string) (*http.Client, error) {
	certificate, err := tls.LoadX509KeyPair(pki.Certificate(pkiDir, "admin"), pki.Key(pkiDir, "admin"))
	if err != nil {
		return nil, fmt.Errorf("loading the administrator's certificate: %w", err)
	}
	authority, err := os.ReadFile(pki.Certificate(pkiDir, "ca"))
	if err != nil {
		return nil, fmt.Errorf("loading the authority's certificate: %w", err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(authority)
	return &http.Client{
		Timeout: 5 * time.Second,
		Transport: &http.Transport{TLSClientConfig: &tls.Config{
			RootCAs: pool, Certificates: []tls.Certificate{certificate}, MinVersion: tls.VersionTLS12,
		}},
	}, nil
}

func get(ctx context.Context, client *http.Client, url string) ([]byte, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return nil, err
	}
	response, err := client.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return nil, err
	}
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s answered %s: %.200s", url, response.Status, body)
	}
	return body, nil
}

// getJSON reads an object of the API.
func getJSON(ctx context.Context, client *http.Client, path string, into any) error {
	body, err := get(ctx, client, server+path)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(body, into); err != nil {
		return fmt.Errorf("reading %s: %w", path, err)
	}
	return nil
}

// conditions is the part of a Node or a Deployment that says how it is.
type conditions struct {
	Status struct {
		Conditions []struct{ Type, Status, Message string }
	}
}

// conditionProbe is ready when an API object's condition is True.
func conditionProbe(path, condition string) probe {
	return func(ctx context.Context, client *http.Client) error {
		var object conditions
		if err := getJSON(ctx, client, path, &object); err != nil {
			return err
		}
		for _, c := range object.Status.Conditions {
			if c.Type == condition && c.Status == "True" {
				return nil
			}
			if c.Type == condition {
				return fmt.Errorf("%s is not %s: %s", path, condition, c.Message)
			}
		}
		return fmt.Errorf("%s does not say whether it is %s", path, condition)
	}
}
