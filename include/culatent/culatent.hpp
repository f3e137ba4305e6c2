#pragma once

/// Everything at once.
#include "culatent/bernoulli_mixture.hpp"
#include "culatent/clustering_quality.hpp"
#include "culatent/context.hpp"
#include "culatent/dataset.hpp"
#include "culatent/density.hpp"
#include "culatent/embedding_quality.hpp"
#include "culatent/error.hpp"
#include "culatent/gaussian_mixture.hpp"
#include "culatent/kde.hpp"
#include "culatent/kmeans.hpp"
#include "culatent/matrix.hpp"
#include "culatent/neighbors.hpp"
#include "culatent/rows.hpp"
#include "culatent/tsne.hpp"
#include "culatent/version.hpp"
