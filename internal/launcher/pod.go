// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package launcher

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/millrace-ml/millrace/internal/names"
)

// Credentials is where every pod finds its token and the CA of the API server.
const Credentials = "/var/run/secrets/kubernetes.io/serviceaccount"

// answer is the longest wait for the API server.
const answer = 10 * time.Second

// Pod is the pod the launcher runs in, as the API server knows it.
type Pod struct {
	// Server is the address of the API server, such as https://10.96.0.1:443.
	Server string
	// Namespace and Name are of the pod.
	Namespace, Name string
	// Credentials is the directory with token and ca.crt. The token is read each time, because it is renewed.
	Credentials string

	client *http.Client
}

// Connect reads the CA; the pod can be written then.
func (p *Pod) Connect() error {
	if p.Server == "" || p.Namespace == "" || p.Name == "" {
		return errors.New("the pod's own name, its namespace and the API server must be known: " +
			"set POD_NAME and POD_NAMESPACE from metadata.name and metadata.namespace")
	}
	pem, err := os.ReadFile(filepath.Join(p.Credentials, "ca.crt"))
	if err != nil {
		return fmt.Errorf("reading the CA of the API server: %w", err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(pem) {
		return errors.New("reading the CA of the API server: no certificate in ca.crt")
	}
	p.client = &http.Client{Timeout: answer, Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}}}
	return nil
}

// Beat writes the last progress into the pod's annotations. What it does not say stays as it was.
func (p *Pod) Beat(ctx context.Context, b Beat) error {
	notes := map[string]string{names.Heartbeat: b.At.UTC().Format(time.RFC3339)}
	if b.Step != "" {
		notes[names.Step] = b.Step
	}
	if b.Checkpoint != "" {
		notes[names.Checkpoint] = b.Checkpoint
	}
	return p.patch(ctx, map[string]any{"metadata": map[string]any{"annotations": notes}})
}

func (p *Pod) patch(ctx context.Context, change any) error {
	body, err := json.Marshal(change)
	if err != nil {
		return fmt.Errorf("encoding the change: %w", err)
	}
	token, err := os.ReadFile(filepath.Join(p.Credentials, "token"))
	if err != nil {
		return fmt.Errorf("reading the pod's token: %w", err)
	}
	address, err := url.JoinPath(p.Server, "api/v1/namespaces", p.Namespace, "pods", p.Name)
	if err != nil {
		return fmt.Errorf("building the pod's address: %w", err)
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPatch, address, bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("building the request: %w", err)
	}
	request.Header.Set("Content-Type", "application/merge-patch+json")
	request.Header.Set("Authorization", "Bearer "+strings.TrimSpace(string(token)))
	return p.send(request)
}

func (p *Pod) send(request *http.Request) error {
	response, err := p.client.Do(request)
	if err != nil {
		return fmt.Errorf("asking the API server: %w", err)
	}
	defer response.Body.Close()
	if response.StatusCode == http.StatusOK {
		return nil
	}
	said, err := io.ReadAll(io.LimitReader(response.Body, 1<<12))
	if err != nil {
		return fmt.Errorf("reading the API server's answer: %w", err)
	}
	return fmt.Errorf("the API server answered %s: %s", response.Status, bytes.TrimSpace(said))
}
