// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

// Package istio asks Istio itself what Millrace's objects mean to it. Profiles and notebooks, admitted as an API server would, are planned
// by their controllers; what comes of it goes through Istio's validation and analyzers and to the real pilot, and the route tables of the gateway
// and the authorization tables of the pods that pilot makes of it are followed request by request.
//
// It is a module of its own, because Istio's versions of everything are not the manager's: make test-istio.
package istio
