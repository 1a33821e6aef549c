// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package observe

import (
	"encoding/json"
	"fmt"
	"strconv"
	"time"
)

// MediaType is of samples with their identities, as the launcher sends them, and SourceHeader names what they were read from.
const (
	MediaType    = "application/vnd.millrace.samples+json"
	SourceHeader = "Millrace-Source"
)

// packed is a sample as JSON has it, which knows no NaN.
type packedSample struct {
	Metric string `json:"metric"`
	Value  string `json:"value"`
	At     int64  `json:"at"` // nanoseconds since 1970
	Seq    int64  `json:"seq"`
	Step   int64  `json:"step"`
}

// Pack writes samples with their identities, for Unpack.
func Pack(samples []Sample) ([]byte, error) {
	all := make([]packedSample, 0, len(samples))
	for _, s := range samples {
		all = append(all, packedSample{s.Metric, strconv.FormatFloat(s.Value, 'g', -1, 64), s.At.UnixNano(), s.Seq, s.Step})
	}
	return json.Marshal(all)
}

// Unpack reads what Pack wrote.
func Unpack(text []byte) ([]Sample, error) {
	var all []packedSample
	if err := json.Unmarshal(text, &all); err != nil {
		return nil, fmt.Errorf("reading samples: %w", err)
	}
	samples := make([]Sample, 0, len(all))
	for _, p := range all {
		value, ok := ParseValue(p.Value)
		if !ok {
			return nil, fmt.Errorf("reading samples: %s", unreadable(p.Metric, p.Value))
		}
		samples = append(samples, Sample{Metric: p.Metric, Value: value, At: time.Unix(0, p.At).UTC(), Seq: p.Seq, Step: p.Step})
	}
	return samples, nil
}
