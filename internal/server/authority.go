// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package server

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/utils/clock"

	"github.com/millrace-ml/millrace/internal/names"
)

const (
	// authorityLife is how long a CA is valid, as those of Kubernetes are, and certificateLife a certificate of the server.
	authorityLife   = 10 * 365 * 24 * time.Hour
	certificateLife = 90 * 24 * time.Hour
	// skew is how wrong the clock of a client may be.
	skew = time.Hour
)

// Authority is the CA that the server's certificates are of.
type Authority struct {
	// PEM is its certificate, as clients need it.
	PEM []byte

	certificate *x509.Certificate
	key         crypto.Signer
	clock       clock.PassiveClock
}

// LoadAuthority reads the CA from the Secret millrace-server of a namespace, or makes both. Managers that start together use the one
// that was made first.
func LoadAuthority(ctx context.Context, api kubernetes.Interface, namespace string, clk clock.PassiveClock) (*Authority, error) {
	secrets := api.CoreV1().Secrets(namespace)
	secret, err := secrets.Get(ctx, names.Server, metav1.GetOptions{})
	if err == nil {
		return readAuthority(secret, clk)
	}
	if !apierrors.IsNotFound(err) {
		return nil, fmt.Errorf("reading the CA: %w", err)
	}
	made, err := makeAuthority(namespace, clk)
	if err != nil {
		return nil, fmt.Errorf("making the CA: %w", err)
	}
	secret, err = secrets.Create(ctx, made, metav1.CreateOptions{})
	if apierrors.IsAlreadyExists(err) {
		secret, err = secrets.Get(ctx, names.Server, metav1.GetOptions{})
	}
	if err != nil {
		return nil, fmt.Errorf("keeping the CA: %w", err)
	}
	return readAuthority(secret, clk)
}

func readAuthority(secret *corev1.Secret, clk clock.PassiveClock) (*Authority, error) {
	advice := "delete the Secret " + secret.Namespace + "/" + secret.Name + " and restart the manager, so that a new one is made"
	pair, err := tls.X509KeyPair(secret.Data[corev1.TLSCertKey], secret.Data[corev1.TLSPrivateKeyKey])
	if err != nil {
		return nil, fmt.Errorf("the CA cannot be read: %w: %s", err, advice)
	}
	key, ok := pair.PrivateKey.(crypto.Signer)
	if !ok || !pair.Leaf.IsCA {
		return nil, fmt.Errorf("the CA cannot sign: %s", advice)
	}
	if clk.Now().Add(certificateLife).After(pair.Leaf.NotAfter) {
		return nil, fmt.Errorf("the CA ends at %s: %s", pair.Leaf.NotAfter.Format(time.DateOnly), advice)
	}
	return &Authority{PEM: secret.Data[corev1.TLSCertKey], certificate: pair.Leaf, key: key, clock: clk}, nil
}

func makeAuthority(namespace string, clk clock.PassiveClock) (*corev1.Secret, error) {
	template := &x509.Certificate{
		Subject:   pkix.Name{CommonName: "millrace-ca"},
		NotBefore: clk.Now().Add(-skew), NotAfter: clk.Now().Add(authorityLife),
		IsCA: true, BasicConstraintsValid: true, MaxPathLenZero: true, KeyUsage: x509.KeyUsageCertSign,
	}
	certificate, key, err := sign(template, nil, nil)
	if err != nil {
		return nil, err
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	return &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: names.Server, Labels: map[string]string{names.ManagedBy: names.Manager}},
		Type:       corev1.SecretTypeTLS,
		Data: map[string][]byte{
			corev1.TLSCertKey:       pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: certificate}),
			corev1.TLSPrivateKeyKey: pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}),
		},
	}, nil
}

// sign makes a key and a certificate of it, of a CA or of itself.
func sign(template, parent *x509.Certificate, by crypto.Signer) ([]byte, *ecdsa.PrivateKey, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	if template.SerialNumber, err = rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127)); err != nil {
		return nil, nil, err
	}
	if parent == nil {
		parent, by = template, key
	}
	certificate, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), by)
	return certificate, key, err
}

// Certificates returns a function that has a certificate for these host names ready, and a new one when a third of its life is left.
func (a *Authority) Certificates(hosts ...string) func() (*tls.Certificate, error) {
	var mu sync.Mutex
	var current *tls.Certificate
	return func() (*tls.Certificate, error) {
		mu.Lock()
		defer mu.Unlock()
		if current != nil && a.clock.Now().Add(certificateLife/3).Before(current.Leaf.NotAfter) {
			return current, nil
		}
		made, err := a.issue(hosts)
		if err == nil {
			current = made
		}
		return current, err
	}
}

func (a *Authority) issue(hosts []string) (*tls.Certificate, error) {
	now := a.clock.Now()
	der, key, err := sign(&x509.Certificate{
		Subject: pkix.Name{CommonName: hosts[0]}, DNSNames: hosts,
		NotBefore: now.Add(-skew), NotAfter: now.Add(certificateLife),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}, a.certificate, a.key)
	if err != nil {
		return nil, fmt.Errorf("making a certificate: %w", err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("making a certificate: %w", err)
	}
	return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}, nil
}
