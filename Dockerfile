# The manager. It is built before the image, by `make build`, so that the image needs no compiler and no
# registry: this file works with Docker (`make build && docker build .`) and with buildah.
FROM scratch
COPY bin/manager /manager
USER 65532:65532
ENTRYPOINT ["/manager"]
