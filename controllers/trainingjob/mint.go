// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package trainingjob

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"fmt"

	"golang.org/x/crypto/ssh"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/millrace-ml/millrace/internal/engine"
)

// clientConfig spares users the settings without which ssh would ask a person whether it may trust a pod's host key, which
// is a new one each time.
const clientConfig = "StrictHostKeyChecking no\nUserKnownHostsFile /dev/null\nLogLevel ERROR\n"

// mint puts a new key pair into a Secret for ssh keys that is about to be created. The form is that of the MPI operator:
// ECDSA on P-521, the private key in PEM of SEC 1.
func mint(_ context.Context, _ client.Reader, o engine.Object) error {
	secret, ok := o.(*corev1.Secret)
	if !ok || secret.Type != corev1.SecretTypeSSHAuth {
		return nil
	}
	key, err := ecdsa.GenerateKey(elliptic.P521(), rand.Reader)
	if err != nil {
		return fmt.Errorf("making an ssh key: %w", err)
	}
	private, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		return fmt.Errorf("encoding the private ssh key: %w", err)
	}
	public, err := ssh.NewPublicKey(&key.PublicKey)
	if err != nil {
		return fmt.Errorf("encoding the public ssh key: %w", err)
	}
	secret.Data = map[string][]byte{
		sshPrivateKey: pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: private}),
		sshPublicKey:  ssh.MarshalAuthorizedKey(public),
		sshConfig:     []byte(clientConfig),
	}
	return nil
}
