module github.com/millrace-ml/millrace/hack/cluster/pause

go 1.26
