// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package options

import (
	"maps"
	"path/filepath"
	"testing"
)

func TestParse(t *testing.T) {
	for name, test := range map[string]struct {
		words []string
		want  Options
		fails bool
	}{
		"nothing":                        {nil, Options{}, false},
		"a variable of make not set":     {[]string{"NODES=", "GPUS="}, Options{}, false},
		"all of them":                    {[]string{"NODES=20", "GPUS=4", "DRA=2", "GATES=gang"}, Options{Nodes: "20", GPUs: "4", DRA: "2", Gates: "gang"}, false},
		"away again":                     {[]string{"GPUS=0", "GATES=none"}, Options{GPUs: "0", Gates: "none"}, false},
		"a number that is none":          {[]string{"GPUS=many"}, nil, true},
		"a number below zero":            {[]string{"NODES=-1"}, nil, true},
		"a feature that is not there":    {[]string{"GATES=flight"}, nil, true},
		"an option that is not there":    {[]string{"DISKS=2"}, nil, true},
		"a word that is no option's":     {[]string{"20"}, nil, true},
		"a name as make does not say it": {[]string{"gpus=2"}, nil, true},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := Parse(test.words)
			if (err != nil) != test.fails || !maps.Equal(got, test.want) {
				t.Errorf("got %v, %v", got, err)
			}
		})
	}
}

func TestWhatIsNotSaidStaysAsItIs(t *testing.T) {
	file := filepath.Join(t.TempDir(), "state", "options.json")
	before, err := Load(file)
	if err != nil || len(before) != 0 {
		t.Fatalf("at first: %v, %v", before, err)
	}
	if err := (Options{GPUs: "4", Gates: "gang"}).Over(before).Save(file); err != nil {
		t.Fatal(err)
	}
	saved, err := Load(file)
	if err != nil {
		t.Fatal(err)
	}
	now := Options{Gates: None}.Over(saved)
	if now.Count(GPUs) != 4 || len(now.Feature().FeatureGates) != 0 {
		t.Errorf("after GATES=none: %v", now)
	}
	if name, asks := now.Asks(); !asks || name != GPUs {
		t.Errorf("asks for %q, %t", name, asks)
	}
	if name, asks := (Options{GPUs: "0", Gates: None, Nodes: "0"}).Asks(); asks {
		t.Errorf("the least asks for %q", name)
	}
}
