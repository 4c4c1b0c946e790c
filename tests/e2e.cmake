# End-to-end tests (one per file, so that ctest -j runs files side by side) and the lints.
# Debian's own interpreter: pytest, pexpect and msgpack are its packages.
set(HAWSER_PYTHON /usr/bin/python3 CACHE FILEPATH "Python with pytest, pexpect and msgpack")
set(HAWSER_E2E_ARGS "" CACHE STRING "More words for pytest, e.g. -m core")
separate_arguments(e2e_args UNIX_COMMAND "${HAWSER_E2E_ARGS}")
set(e2e_environment PYTHONDONTWRITEBYTECODE=1 HAWSER_BIN_DIR=${CMAKE_RUNTIME_OUTPUT_DIRECTORY})
if(HAWSER_SANITIZE OR HAWSER_TSAN)
  list(APPEND e2e_environment HAWSER_TEST_SLOW=3)
endif()

file(GLOB E2E_SRC CONFIGURE_DEPENDS e2e/test_*.py)
foreach(src ${E2E_SRC})
  get_filename_component(name ${src} NAME_WE)
  add_test(NAME e2e.${name}
    COMMAND ${HAWSER_PYTHON} -m pytest -q -p no:cacheprovider ${e2e_args} ${src})
  set_tests_properties(e2e.${name} PROPERTIES LABELS e2e TIMEOUT 540
    ENVIRONMENT "${e2e_environment}")
endforeach()
# The long ones first: the others fill the gaps.
foreach(name test_hostile test_lifecycle test_transfer test_config test_exec test_tools_rsync
        test_tools_ansible test_oracle_forward test_sticky test_ends test_suspect test_proxy test_learn
        test_jump test_causes_idle test_causes_network test_back test_backpressure test_notice
        test_progress test_trust_more test_tty test_tool_lines)
  set_tests_properties(e2e.${name} PROPERTIES COST 100)
endforeach()

foreach(lint includes sizes banned style docs protocol_doc)
  add_test(NAME lint.${lint}
    COMMAND ${HAWSER_PYTHON} ${CMAKE_CURRENT_SOURCE_DIR}/lint/${lint}.py
    WORKING_DIRECTORY ${CMAKE_SOURCE_DIR})
  set_tests_properties(lint.${lint} PROPERTIES LABELS lint TIMEOUT 120
    ENVIRONMENT PYTHONDONTWRITEBYTECODE=1)
endforeach()
