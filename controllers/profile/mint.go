// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package profile

import (
	"bytes"
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"net/http"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/millrace-ml/millrace/internal/engine"
	"github.com/millrace-ml/millrace/internal/names"
)

// minter fills in Secrets from templates of a namespace.
type minter struct{ namespace string }

// mint reads the template of a Secret that is about to be created. Only a Secret that says it is a template is one: otherwise
// whoever may write Profiles could read every Secret of the namespace.
func (m minter) mint(ctx context.Context, live client.Reader, o engine.Object) error {
	made, ok := o.(*corev1.Secret)
	if !ok {
		return nil
	}
	var template corev1.Secret
	key := client.ObjectKey{Namespace: m.namespace, Name: made.Annotations[templateAnnotation]}
	if err := live.Get(ctx, key, &template); err != nil {
		return err
	}
	if template.Labels[names.ProfileSecret] != "true" {
		return notTemplate(key)
	}
	made.Type, made.Data = template.Type, map[string][]byte{}
	for name, value := range template.Data {
		for variable, text := range map[string]string{"${PROFILE}": made.Namespace, "${OWNER}": made.Annotations[ownerAnnotation]} {
			value = bytes.ReplaceAll(value, []byte(variable), []byte(text))
		}
		made.Data[name] = value
	}
	return nil
}

// notTemplate is said like that there is none: it is nobody's business what else there is.
func notTemplate(key client.ObjectKey) error {
	return &apierrors.StatusError{ErrStatus: metav1.Status{
		Status: metav1.StatusFailure, Code: http.StatusNotFound, Reason: metav1.StatusReasonNotFound,
		Message: fmt.Sprintf("secrets %q in namespace %s is not found, or lacks the label %s: \"true\"", key.Name, key.Namespace, names.ProfileSecret),
	}}
}
