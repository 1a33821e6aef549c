// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package server

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/clock"
	clocktesting "k8s.io/utils/clock/testing"

	"github.com/millrace-ml/millrace/internal/envtest"
	"github.com/millrace-ml/millrace/internal/names"
)

// A client with nothing but the ConfigMap's certificate reaches the server by the name of its Service; the next manager has the same CA.
func TestServe(t *testing.T) {
	w := newWorld(t)
	token := w.pod(t, w.namespace, "digits-1-0", digits.Name, names.Audience)
	var authorities sync.Map
	var wait sync.WaitGroup
	for range 4 {
		wait.Go(func() {
			ca, err := LoadAuthority(t.Context(), w.api, w.namespace, w.clock)
			if err != nil {
				t.Error(err)
				return
			}
			authorities.Store(string(ca.PEM), true)
		})
	}
	wait.Wait()
	publisher := NewPublisher(w.api, w.Cache, w.namespace, clock.RealClock{}, logr.Discard())
	ctx, stop := context.WithCancel(t.Context())
	address := make(chan string, 1)
	w.listening = address
	wait.Go(func() {
		if err := errors.Join(w.Start(ctx), nil); err != nil {
			t.Error(err)
		}
	})
	wait.Go(func() { _ = publisher.Start(ctx) })
	team := envtest.Start(t).Namespace(t)
	pem := published(t, w, publisher, team)
	if _, same := authorities.Load(pem); !same {
		t.Error("the certificate that is published is another")
	}
	authorities.Delete(pem)
	authorities.Range(func(any, any) bool {
		t.Error("managers that start together have several CAs")
		return false
	})
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM([]byte(pem))
	at := <-address
	client := &http.Client{Transport: &http.Transport{
		TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12},
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "tcp", at)
		},
	}}
	defer client.CloseIdleConnections()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, names.MetricsURL(w.namespace, w.namespace, digits.Name), strings.NewReader(`{"loss": 1}`))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+token)
	response, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	body, _ := io.ReadAll(response.Body)
	_ = response.Body.Close()
	if response.StatusCode != http.StatusOK {
		t.Errorf("%s %s", response.Status, body)
	}
	stop()
	wait.Wait()
}

func published(t *testing.T, w *world, p *Publisher, namespace string) string {
	t.Helper()
	foreign := envtest.Start(t).Namespace(t)
	theirs := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: names.Authority}}
	if _, err := w.api.CoreV1().ConfigMaps(foreign).Create(t.Context(), theirs, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	var pem string
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		fault := p.Need(t.Context(), foreign)
		p.Need(t.Context(), namespace)
		made, err := w.api.CoreV1().ConfigMaps(namespace).Get(t.Context(), names.Authority, metav1.GetOptions{})
		if err == nil && strings.Contains(fault, "is not Millrace's") {
			pem = made.Data[names.AuthorityKey]
			break
		}
	}
	if pem == "" {
		t.Fatal("the CA was not published, or somebody else's ConfigMap was taken for ours")
	}
	return pem
}

// The example of docs/metrics.md, as it is there.
func TestTheExampleInPython(t *testing.T) {
	python, err := exec.LookPath("python3")
	if err != nil {
		t.Skip("there is no python3")
	}
	page, err := os.ReadFile("../../docs/metrics.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(page), "```python\n")
	example, _, found := strings.Cut(rest, "```")
	if !found || strings.Count(example, "\n") != 5 {
		t.Fatalf("docs/metrics.md has no example of five lines:\n%s", example)
	}
	w := newWorld(t)
	dir, token := t.TempDir(), w.pod(t, w.namespace, "digits-1-0", digits.Name, names.Audience)
	ca, err := LoadAuthority(t.Context(), w.api, w.namespace, w.clock)
	if err != nil {
		t.Fatal(err)
	}
	certificate := ca.Certificates("localhost")
	server := httptest.NewUnstartedServer(w.Handler())
	server.TLS = &tls.Config{
		MinVersion:     tls.VersionTLS12,
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return certificate() },
	}
	server.StartTLS()
	defer server.Close()
	// What httptest adds of its own would be preferred.
	server.TLS.Certificates = nil
	files := map[string]string{filepath.Join(dir, "token"): token, filepath.Join(dir, "ca.crt"): string(ca.PEM)}
	for path, text := range files {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	_, port, _ := net.SplitHostPort(server.Listener.Addr().String())
	c := exec.CommandContext(t.Context(), python, "-c", example)
	c.Env = append(os.Environ(),
		names.EnvMetricsURL+"=https://localhost:"+port+"/v1/namespaces/"+w.namespace+"/trials/"+digits.Name+"/metrics",
		names.EnvMetricsToken+"="+filepath.Join(dir, "token"), names.EnvMetricsCA+"="+filepath.Join(dir, "ca.crt"))
	if out, err := c.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	var got []string
	for _, samples := range w.taken {
		for _, s := range samples {
			got = append(got, fmt.Sprintf("%s=%g at %d", s.Metric, s.Value, s.Step))
		}
	}
	if diff := cmp.Diff([]string{"accuracy=0.91 at 3", "loss=0.25 at 3"}, got); diff != "" {
		t.Errorf("taken (-want +got):\n%s", diff)
	}
}

func TestCertificatesAreRenewed(t *testing.T) {
	clk := clocktesting.NewFakePassiveClock(time.Now())
	secret, err := makeAuthority("millrace-system", clk)
	if err != nil {
		t.Fatal(err)
	}
	ca, err := readAuthority(secret, clk)
	if err != nil {
		t.Fatal(err)
	}
	certificate := ca.Certificates("a.b.svc")
	first, err := certificate()
	if err != nil {
		t.Fatal(err)
	}
	clk.SetTime(clk.Now().Add(certificateLife / 2))
	if same, _ := certificate(); same != first {
		t.Error("it is renewed at half of its life")
	}
	clk.SetTime(clk.Now().Add(certificateLife / 3))
	next, err := certificate()
	if err != nil || next == first || !next.Leaf.NotAfter.After(first.Leaf.NotAfter) {
		t.Errorf("it is not renewed near its end: %v", err)
	}
	clk.SetTime(clk.Now().Add(authorityLife))
	if _, err := readAuthority(secret, clk); err == nil || !strings.Contains(err.Error(), "delete the Secret") {
		t.Errorf("a CA that ends: %v", err)
	}
	secret.Data[corev1.TLSPrivateKeyKey] = nil
	if _, err := readAuthority(secret, clk); err == nil || !strings.Contains(err.Error(), "delete the Secret") {
		t.Errorf("a CA without a key: %v", err)
	}
}
