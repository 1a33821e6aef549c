// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package one

import (
	"context"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/millrace-ml/millrace/controllers/two"
	"github.com/millrace-ml/millrace/internal/names"
)

func plan(now time.Time) (time.Time, metav1.Time) { return time.Now(), metav1.Now() }
